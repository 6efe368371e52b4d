"""``shipper spool``: look into a spool, also while a process is at work in it, and repair one that is damaged."""

import argparse
import sys
from typing import TYPE_CHECKING, Any, Final

from shipper.cli.targets import Target, actions_of, find_target
from shipper.errors import NotRunning, SpoolError, SpoolLocked

if TYPE_CHECKING:
    from shipper.spool.checks import Finding

ACTIONS: Final = ("ls", "verify", "cat", "repair", "forget")
HELP = "Look into a spool (ls, verify, cat), repair a damaged one, forget a removed sink."

_EPILOG = """\
examples:
  shipper spool ls agent.yaml                 # segments, sinks and what waits for them
  shipper spool verify agent.yaml             # reads everything; exit code 1 when something is damaged
  shipper spool cat --sink central agent.yaml | head
  shipper spool repair --dry-run agent.yaml   # of a stopped process
  shipper spool forget old-central agent.yaml # a sink that the config has no more

TARGET is a config file, or a data directory. ls, verify and cat change nothing and work while shipper runs.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EPILOG
    action = actions_of(parser, "spool")
    ls = action("ls", "show segments, sinks and what waits for them", "ls agent.yaml")
    verify = action("verify", "read everything and check every checksum", "verify /var/lib/shipper/agent")
    cat = action("cat", "print the records as one JSON object a line", "cat --sink central agent.yaml | head")
    repair = action("repair", "set aside what is damaged; the process must be stopped", "repair --dry-run agent.yaml")
    text = "give up what waits for a sink that was removed from the config, also while shipper runs"
    action("forget", text, "forget old-central agent.yaml", ("sink", "its name"))
    for reading in (ls, verify):
        reading.add_argument("--json", action="store_true", help="for programs")
    cat.add_argument("--sink", metavar="NAME", help="only what this sink has not acknowledged")
    cat.add_argument("--from", metavar="N", type=int, dest="first", help="from this sequence number on")
    repair.add_argument("--dry-run", action="store_true", help="only say what would be done")


def execute(args: argparse.Namespace) -> int:
    """Do it; 1 when something is damaged.

    :raises ConfigError: the target is no config and no data directory.
    :raises ShipperError: the spool cannot be read, or repaired.
    """
    actions = {"ls": _ls, "verify": _verify, "cat": _cat, "repair": _repair, "forget": _forget}
    return actions[args.action](find_target(args.target), args)


def _ls(target: Target, args: argparse.Namespace) -> int:
    from shipper.cli.spool_listing import listing, table
    from shipper.control import is_running
    from shipper.spool.inspect import LookingDisk, look

    disk = LookingDisk(target.root)
    running = is_running(target.data_dir)
    facts = listing(disk, look(disk), str(target.data_dir), running=running, configured=target.sinks or None)
    _print(_json(facts) if args.json else table(facts))
    return 0


def _verify(target: Target, args: argparse.Namespace) -> int:
    from shipper.cli.spool_listing import amount, counted
    from shipper.control import is_running
    from shipper.spool.inspect import LookingDisk
    from shipper.spool.verify import Verifier

    verifier = Verifier(LookingDisk(target.root), live=is_running(target.data_dir))
    damaged = 0
    for finding in verifier.run():
        damaged += finding.kind == "damaged"
        _print(_json(_facts(finding)) if args.json else f"{_words(finding)}\n")
    totals = verifier.totals
    checked = (
        f"{counted(totals.segments, 'segment')} ({amount(totals.bytes)}, {counted(totals.frames, 'frame')}), "
        f"{counted(totals.cursors, 'cursor')}, {counted(totals.dead_letters, 'dead letter')}"
    )
    if not args.json:
        places = f"{counted(damaged, 'place')} damaged; 'shipper spool repair' sets that aside"
        _print(f"{checked}: {places if damaged else 'sound'}\n")
    return 1 if damaged else 0


def _cat(target: Target, args: argparse.Namespace) -> int:
    from shipper.cli.spool_gaps import Notes, gap_words, lost_words
    from shipper.sinks.base import Gap
    from shipper.sinks.flat import Refusal, lines_of
    from shipper.spool.browse import browse, cursor_of, start_of
    from shipper.spool.inspect import LookingDisk, look

    disk = LookingDisk(target.root)
    view = look(disk)
    position, seq = start_of(view, args.first or 0)
    lost = None
    if args.sink is not None:
        cursor = cursor_of(view, args.sink)
        if cursor.seq > (args.first or 0):
            position, seq, lost = cursor.position, cursor.seq, cursor.lost
    notes = Notes(disk, view)
    unreadable = False
    for step in browse(disk, view, position, seq, lost):
        if step.item is not None and step.item.next <= (args.first or 0):
            continue
        if step.item is None or isinstance(step.item.body, Gap):
            unreadable = unreadable or step.damage is not None
            _complain(gap_words(step, notes))
            continue
        for words in lost_words(step.item, step.item.body):
            _complain(words)
        refusals: list[Refusal] = []
        lines = lines_of(step.item, identity=True, read_at=True, refusals=refusals)
        for refusal in refusals:
            unreadable = True
            _complain(refusal.reason)
        sys.stdout.buffer.write(b"".join(lines))
    sys.stdout.buffer.flush()
    return 1 if unreadable else 0


def _repair(target: Target, args: argparse.Namespace) -> int:
    from shipper.spool.inspect import LookingDisk
    from shipper.spool.real_disk import RealDisk
    from shipper.spool.repair import repair, to_repair

    findings: list[Finding] = []
    if args.dry_run:
        findings = to_repair(LookingDisk(target.root))
    else:
        disk = RealDisk(target.root)
        try:
            disk.lock()
        except SpoolLocked as error:
            raise SpoolLocked(f"a process has {target.data_dir} open; stop it, then repair") from error
        try:
            repair(disk, target.max_bytes, findings.append)
        finally:
            disk.unlock()
    for finding in findings:
        _print(f"{_words(finding)}\n")
    if not findings:
        _print("nothing is damaged\n")
    elif args.dry_run:
        _print(f"{len(findings)} would be set aside under {target.root}/quarantine\n")
    else:
        _print(f"{len(findings)} set aside under {target.root}/quarantine\n")
    return 0


def _forget(target: Target, args: argparse.Namespace) -> int:
    from shipper.cli.spool_listing import amount, counted
    from shipper.control import call
    from shipper.spool.browse import cursor_of
    from shipper.spool.inspect import LookingDisk, look
    from shipper.spool.real_disk import RealDisk
    from shipper.spool.retention import forget_sink

    if args.sink in target.sinks:
        raise SpoolError(f"the config has the sink {args.sink!r}: remove it there first, or its backlog would be lost")
    view = look(LookingDisk(target.root))
    frames, _ = view.backlog(cursor_of(view, args.sink))
    given_up = f"forgot {args.sink}, and gave up {counted(frames, 'frame')} that waited for it"
    try:
        freed = call(target.data_dir, "forget", sink=args.sink)["freed_bytes"]
        free = f"{amount(freed)} are free again" if freed else "no room is free yet, as a segment goes as a whole"
        _print(f"{given_up}: {free}\n")
    except NotRunning:
        disk = RealDisk(target.root)
        disk.lock()
        try:
            forget_sink(disk, args.sink)
        finally:
            disk.unlock()
        _print(f"{given_up}: the next start frees the segments that nobody needs\n")
    return 0


def _words(finding: "Finding") -> str:
    """One line for people."""
    place = finding.file if finding.end == finding.start else f"{finding.file}, bytes {finding.start} to {finding.end}"
    lost = f"; sequence number{'s' * (' ' in finding.numbers)} {finding.numbers} lost" if finding.numbers else ""
    known = "; known: reported and set aside before" if finding.kind == "known" else ""
    return f"{place}: {finding.what}{lost}{known}"


def _facts(finding: "Finding") -> dict[str, Any]:
    facts = {"kind": finding.kind, "file": finding.file, "start": finding.start, "end": finding.end}
    lost = {"first": finding.first, "last": finding.last if finding.last > 0 else None} if finding.numbers else {}
    return facts | {"what": finding.what} | lost


def _complain(text: str) -> None:
    shown = "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
    sys.stdout.flush()
    sys.stderr.write(f"shipper: {shown}\n")


def _print(text: str) -> None:
    sys.stdout.write(text)


def _json(facts: dict[str, Any]) -> str:
    import orjson

    return orjson.dumps(facts).decode() + "\n"
