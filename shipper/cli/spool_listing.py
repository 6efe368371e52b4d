"""What ``shipper spool ls`` shows: as facts, and as a table."""

from collections.abc import Sequence
from typing import Any

from shipper.spool import dead_letters
from shipper.spool.disk import Disk
from shipper.spool.files import QUARANTINE, segment_name
from shipper.spool.inspect import View
from shipper.spool.reserve import NAME as RESERVE


def listing(
    disk: Disk, view: View, data_dir: str, *, running: bool, configured: frozenset[str] | None = None
) -> dict[str, Any]:
    """Sizes in bytes, sequence numbers of the spool's own stream. ``configured`` are the sinks of the config, where one
    was named.
    """
    newest = max(view.segments, default=0)
    firsts = [segment.header.first for _, segment in sorted(view.segments.items())]
    segments = []
    for (number, segment), after in zip(sorted(view.segments.items()), [*firsts[1:], view.next_seq], strict=True):
        marked = view.marked.offset if view.marked.segment == number else 0
        segments.append(
            {
                "file": segment_name(number),
                "first": segment.header.first,
                "next": max(after, segment.header.first),
                "frames": max(0, after - segment.header.first),
                "bytes": segment.end,
                "durable": segment.end if number != newest else min(segment.end, marked),
                "epoch": segment.header.epoch,
            }
        )
    sinks = {}
    for name, slots in view.cursors.items():
        if name.startswith("_"):  # the spool's own
            continue
        value = slots.value or view.snapshot_cursors.get(name)
        frames, size = view.backlog(value) if value is not None else (None, None)
        sinks[name] = {
            "next": value.seq if value else None,
            "backlog_frames": frames,
            "backlog_bytes": size,
            "removed": None if configured is None else name not in configured,
        }
    return {
        "data_dir": data_dir,
        "running": running,
        "stream": view.identity.stream.hex(),
        "epoch": view.identity.epoch,
        "next": view.next_seq,
        "segments": segments,
        "sinks": sinks,
        "dead_letters": _folder(disk, dead_letters.FOLDER),
        "quarantine": _folder(disk, QUARANTINE),
        "reserve_bytes": _size(disk, RESERVE),
        "unreadable": [segment_name(number) for number in view.unreadable],
    }


def table(facts: dict[str, Any]) -> str:
    """The same for people."""
    state = "a process is at work in it" if facts["running"] else "no process is at work in it"
    lines = [
        f"{facts['data_dir']}: {state}",
        f"stream {facts['stream']}, epoch {facts['epoch']}, next sequence number {facts['next']}",
        "",
    ]
    rows = [("segment", "sequence numbers", "frames", "size", "epoch")]
    for segment in facts["segments"]:
        numbers = f"{segment['first']} to {segment['next'] - 1}" if segment["frames"] else "none"
        size = amount(segment["bytes"])
        if segment["durable"] != segment["bytes"]:
            size += f" ({amount(segment['durable'])} synced for sure)"
        rows.append((segment["file"], numbers, str(segment["frames"]), size, str(segment["epoch"])))
    lines += [*_columns(rows), ""]
    rows3 = [("sink", "acknowledged before", "frames waiting", "size")]
    for name, sink in facts["sinks"].items():
        if sink["next"] is None:
            rows3.append((name, "unknown: its cursor is damaged", "", ""))
        else:
            removed = ", not in the config: 'shipper spool forget' gives that up" if sink["removed"] else ""
            size = f"{amount(sink['backlog_bytes'])}{removed}"
            rows3.append((name, str(sink["next"]), str(sink["backlog_frames"]), size))
    lines += [*_columns(rows3), ""]
    for key, words in (("dead_letters", "dead letters"), ("quarantine", "quarantine")):
        some = facts[key]
        files = f"{counted(some['files'], 'file')}, {amount(some['bytes'])}"
        lines.append(f"{words}: {files if some['files'] else 'none'}")
    lines.append(f"reserve: {amount(facts['reserve_bytes'])}")
    lines += [f"{name}: its header cannot be read; see 'shipper spool verify'" for name in facts["unreadable"]]
    return "".join(f"{line}\n" for line in lines)


def counted(number: int, noun: str) -> str:
    """``1 file``, ``2 files``."""
    return f"{number} {noun}{'s' * (number != 1)}"


def amount(size: int) -> str:
    """A number of bytes for people: ``12.3 MiB``."""
    value, units = float(size), ["B", "KiB", "MiB", "GiB", "TiB"]
    while value >= 1000 and len(units) > 1:
        value /= 1024
        units.pop(0)
    return f"{size} B" if units[0] == "B" else f"{value:.1f} {units[0]}"


def _columns(rows: Sequence[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _folder(disk: Disk, folder: str) -> dict[str, int]:
    sizes = [_size(disk, f"{folder}/{name}") for name in disk.names(folder)]
    return {"files": len(sizes), "bytes": sum(sizes)}


def _size(disk: Disk, name: str) -> int:
    try:
        return disk.size(name)
    except FileNotFoundError:
        return 0
