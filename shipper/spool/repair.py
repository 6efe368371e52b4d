"""Setting damage aside, so that the next start finds nothing to report: on a stopped spool, under its lock.

Nothing is deleted that is not kept under ``quarantine/``, and no segment is written into. What is done:

- a cursor or the file ``stream`` with a damaged slot: the slot is copied, then written anew with the value in force;
- dead letters: a damaged piece is copied, then the file is replaced by one that holds the whole letters;
- segments: what a start does (shipper.spool.opening), and the pieces that only a sink would have met are copied and
  noted as well. The sinks get a gap in their place.

A crash in the middle leaves a spool that can be repaired again.
"""

from collections.abc import Callable
from typing import Final

from shipper.spool import dead_letters
from shipper.spool.checks import Finding, read_all
from shipper.spool.cursor import FOLDER
from shipper.spool.disk import Disk
from shipper.spool.files import quarantine, set_aside
from shipper.spool.inspect import STREAM_FILE, look
from shipper.spool.log import Log
from shipper.spool.recovery import is_snapshot_file
from shipper.spool.verify import Verifier

_DRAFT: Final = ".tmp"
_ROUNDS: Final = 10
"""Setting one thing aside may show another: numbers that are missing once a segment is gone."""


def to_repair(disk: Disk) -> list[Finding]:
    """What ``repair`` would set aside.

    :raises FutureFormat: a newer shipper wrote some of it.
    """
    return [finding for finding in Verifier(disk, live=False).run() if finding.kind in {"damaged", "tail"}]


def repair(disk: Disk, max_bytes: int, done: Callable[[Finding], None]) -> None:
    """Set everything aside that is damaged; ``done`` is told of each. The caller holds the lock.

    :raises FutureFormat: a newer shipper wrote some of it; nothing was changed.
    :raises SpoolFailed: the disk refused.
    """
    findings = to_repair(disk)
    if not findings:
        return
    _copy_slots(disk, findings)
    for name in dict.fromkeys(f.file for f in findings if f.file.startswith(f"{dead_letters.FOLDER}/")):
        _rewrite_letters(disk, name, [finding for finding in findings if finding.file == name])
    view = look(disk)
    sinks = {*view.cursors, *view.snapshot_cursors}
    log = Log(disk, max_bytes, sinks)  # as a start does: moves, copies, cuts and notes what it meets
    try:
        for _ in range(_ROUNDS):
            left = [finding for finding in to_repair(disk) if finding.segment]
            for finding in left:
                if is_snapshot_file(finding.file) and finding.end:
                    set_aside(disk, finding.file)
                log.notes.report(finding.as_damage())
            if not left:
                break
    finally:
        log.close()
    for finding in findings:
        done(finding)


def _copy_slots(disk: Disk, findings: list[Finding]) -> None:
    """Opening and closing a log writes each cursor twice, so both slots; the file ``stream`` only once."""
    for finding in findings:
        if finding.file == STREAM_FILE or finding.file.startswith(f"{FOLDER}/"):
            quarantine(disk, finding.file, finding.start, finding.end)
    if sum(finding.file == STREAM_FILE for finding in findings) > 1:  # no slot holds a value: it is made anew
        set_aside(disk, STREAM_FILE)


def _rewrite_letters(disk: Disk, name: str, damaged: list[Finding]) -> None:
    for finding in damaged:
        quarantine(disk, name, finding.start, finding.end)
    stream = dead_letters.stream_of(disk, name)
    contents = dead_letters.without_damage(read_all(disk, name), stream)
    draft = name + _DRAFT
    disk.unlink(draft)
    file = disk.create(draft, len(contents))
    file.write([contents], 0)
    file.sync()
    file.close()
    disk.rename(draft, name)
    disk.sync_folder(dead_letters.FOLDER)
