"""``shipper dlq``: look at dead letters, also while a process is at work, and have it replay them."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

from shipper.cli.targets import Target, actions_of, find_target
from shipper.errors import ConfigError, ControlError, NotRunning

if TYPE_CHECKING:
    from shipper.spool.letter_box import Seen

ACTIONS: Final = ("ls", "show", "replay")
HELP = "Look at records that could not be processed or delivered (ls, show), and replay them."

_EPILOG = """\
examples:
  shipper dlq ls agent.yaml
  shipper dlq show agent.yaml 7-20480-0
  shipper dlq replay agent.yaml --processor parse_json   # once the config is mended and shipper runs with it

TARGET is a config file, or a data directory. ls and show change nothing and need no running shipper.
"""
_LETTERS: Final = 1000
"""A request is at most 64 KiB long."""
_BYTES: Final = 4 << 20
"""Of the letters of a request, so that its answer does not take long."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EPILOG
    action = actions_of(parser, "dlq")
    ls = action("ls", "list dead letters", "ls agent.yaml --processor parse_json")
    show = action("show", "show all that is known of dead letters", "show agent.yaml 7-20480-0")
    replay = action(
        "replay", "send dead letters through the processors of the shipper that runs", "replay agent.yaml --all"
    )
    show.add_argument("ids", metavar="ID", nargs="+", help="as ls shows them")
    show.add_argument("--raw", action="store_true", help="only the records, as the bytes they are")
    replay.add_argument("ids", metavar="ID", nargs="*", help="as ls shows them")
    for some in (ls, replay):
        some.add_argument("--processor", metavar="NAME", help="only those that it refused; of a sink: sink/NAME")
        some.add_argument("--source", metavar="NAME", help="only those of this source")
    ls.add_argument("--replayed", action="store_true", help="also those that were replayed and are not removed yet")
    ls.add_argument("--json", action="store_true", help="one JSON object a line, for programs")
    replay.add_argument("--all", action="store_true", help="all of them")
    replay.add_argument("--as", metavar="SOURCE", dest="as_source", help="through the processors of this source")
    replay.add_argument(
        "--every-sink", action="store_true", help="what one sink refused goes to every sink, where there are several"
    )


def execute(args: argparse.Namespace) -> int:
    """Do it; 1 when letters could not be replayed.

    :raises ConfigError: the target is no config and no data directory, or nothing says which letters.
    :raises ShipperError: the letters cannot be read, or not be replayed.
    """
    actions = {"ls": _ls, "show": _show, "replay": _replay}
    return actions[args.action](find_target(args.target), args)


def _ls(target: Target, args: argparse.Namespace) -> int:
    from shipper.cli.dlq_listing import HEADER, facts, row, summary
    from shipper.spool.letter_box import LetterBox

    counts: dict[tuple[str, str], int] = {}
    done = size = shown = 0
    for seen in _chosen(LetterBox(target.root), args):
        done += seen.replayed
        if seen.replayed and not args.replayed:
            continue
        if args.json:
            _print(_json(facts(seen)))
            continue
        _print(row(seen) if shown else HEADER + row(seen))
        shown += 1
        if not seen.replayed:
            size += seen.letter.size
            key = (seen.letter.source, seen.letter.processor)
            counts[key] = counts.get(key, 0) + 1
    if not args.json:
        _print(summary(counts, size, done))
    return 0


def _show(target: Target, args: argparse.Namespace) -> int:
    from shipper.cli.dlq_listing import details
    from shipper.spool.letter_box import LetterBox

    for number, seen in enumerate(LetterBox(target.root).find(args.ids)):
        if args.raw:
            sys.stdout.buffer.write(seen.letter.raw + b"\n")
            continue
        _print(("\n" if number else "") + details(seen))
    sys.stdout.buffer.flush()
    return 0


def _replay(target: Target, args: argparse.Namespace) -> int:
    from shipper.cli.spool_listing import counted
    from shipper.spool.letter_box import LetterBox

    if not (args.ids or args.processor or args.source or args.all):
        raise ConfigError(["name the dead letters to replay: ids, --processor, --source, or --all"])
    box = LetterBox(target.root)
    chosen: Iterable[Seen] = box.find(args.ids) if args.ids else box
    options = {"as": args.as_source, "every_sink": args.every_sink}
    done = failed = already = refused = 0
    for letters in _requests(_chosen(chosen, args)):
        answer = _ask(target, letters=letters, **options)
        done, failed, already = done + answer["replayed"], failed + answer["failed"], already + answer["already"]
        refused += len(answer["refused"])
        for name, why in answer["refused"]:
            _complain(f"{name} stays: {why}")
        if answer["trouble"]:
            raise ControlError(f"{answer['trouble']}; {counted(done, 'dead letter')} replayed before that")
    _ask(target, files=[int(name[:20]) for name in box.sizes])  # those in which nothing is left go
    again = f"; {counted(failed, 'dead letter')} came of it: 'shipper dlq ls' shows why" if failed else ""
    known = f"; {already} had been replayed already" if already else ""
    _print(f"{counted(done, 'dead letter')} replayed{again}{known}\n")
    return 1 if refused else 0


def _chosen(letters: "Iterable[Seen]", args: argparse.Namespace) -> "Iterator[Seen]":
    """Those that the options mean."""
    for seen in letters:
        if args.processor in (None, seen.letter.processor) and args.source in (None, seen.letter.source):
            yield seen


def _requests(letters: "Iterable[Seen]") -> Iterator[list[tuple[int, int, str]]]:
    """What to ask for at a time: file number, place and id of each letter."""
    some: list[tuple[int, int, str]] = []
    size = 0
    for seen in letters:
        if seen.replayed:
            continue
        some.append((int(seen.at.file[:20]), seen.at.start, seen.id))
        size += len(seen.letter.raw)
        if len(some) == _LETTERS or size > _BYTES:
            yield some
            some, size = [], 0
    if some:
        yield some


def _ask(target: Target, **request: Any) -> dict[str, Any]:
    """Have the process replay, however long it takes."""
    from shipper.control import call

    told = False
    try:
        answer = call(target.data_dir, "replay", **request)
        while not answer["done"]:
            if not told:
                why = f": no room in the spool ({answer['waits_for']})" if answer["waits_for"] else ""
                _complain(f"waiting{why}; Ctrl-C leaves it to the process")
            told = True
            answer = call(target.data_dir, "replay", job=answer["job"])
    except NotRunning as error:
        text = f"no process has {target.data_dir} open, and replayed records go through its processors"
        raise NotRunning(f"{text}: start it with 'shipper run', then replay") from error
    return answer


def _json(facts: dict[str, Any]) -> str:
    import orjson

    return orjson.dumps(facts).decode() + "\n"


def _print(text: str) -> None:
    sys.stdout.write(text)


def _complain(text: str) -> None:
    sys.stdout.flush()
    sys.stderr.write(f"shipper: {text}\n")
