"""What ``shipper dlq`` shows of dead letters: as facts, as a line each, and in full."""

import base64
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from shipper.chain.encode import encode_json
from shipper.chain.flat import rfc3339
from shipper.cli.spool_listing import amount, counted

if TYPE_CHECKING:
    from shipper.spool.letter_box import Seen

_WIDTHS: Final = (18, 20, 12, 14, 10)
_ERROR: Final = 80
_BYTES: Final = 16
"""In a line of hexadecimal."""


def _line(*cells: str) -> str:
    padded = [cell.ljust(width) for cell, width in zip(cells, _WIDTHS, strict=False)]
    return "  ".join([*padded, *cells[len(_WIDTHS) :]]).rstrip() + "\n"


HEADER: Final = _line("id", "read at", "source", "processor", "size", "error")


def row(seen: "Seen") -> str:
    """A letter as one line."""
    letter = seen.letter
    error = printable(letter.error)
    short = error if len(error) <= _ERROR else f"{error[: _ERROR - 4]} ..."
    read_at = rfc3339(letter.read_at)[:19] + "Z"
    done = "replayed: " if seen.replayed else ""
    return _line(seen.id, read_at, letter.source, letter.processor, amount(letter.size), done + short)


def summary(counts: Mapping[tuple[str, str], int], size: int, replayed: int) -> str:
    """What stands below the lines. ``counts``: by source and processor; ``replayed``: those that are."""
    total = sum(counts.values())
    lines = [f"{counted(total, 'dead letter')}, {amount(size)}" if total else "no dead letters"]
    lines += [f"  {count} of {source or 'no source'} by {processor}" for (source, processor), count in counts.items()]
    if replayed:
        lines.append(f"{replayed} more were replayed and go with their files")
    return "".join(f"{line}\n" for line in lines)


def facts(seen: "Seen") -> dict[str, Any]:
    """A letter for programs. ``raw`` is text where the bytes are UTF-8, else ``raw_base64`` holds them."""
    letter = seen.letter
    raw: dict[str, Any]
    try:
        raw = {"raw": letter.raw.decode()}
    except UnicodeDecodeError:
        raw = {"raw_base64": base64.b64encode(letter.raw).decode()}
    return {
        "id": seen.id,
        "replayed": seen.replayed,
        "read_at": rfc3339(letter.read_at),
        "source": letter.source,
        "processor": letter.processor,
        "error": letter.error,
        "labels": letter.labels,
        "generation": letter.generation.hex(),
        "start": letter.start,
        "index": letter.index,
        "size": letter.size,
        **raw,
    }


def details(seen: "Seen") -> str:
    """All that is known of a letter, for people."""
    letter = seen.letter
    cut = f", of which the first {len(letter.raw)} are kept" if letter.size > len(letter.raw) else ""
    rows = [
        ("dead letter", f"{seen.id}, replayed" if seen.replayed else seen.id),
        ("read at", rfc3339(letter.read_at)),
        ("source", letter.source or "none"),
        ("processor", letter.processor),
        ("error", printable(letter.error)),
        ("labels", printable(encode_json(letter.labels).decode())),
        ("position", f"record {letter.index} of the range that begins at {letter.start}"),
        ("generation", letter.generation.hex() or "none"),
        ("size", f"{letter.size} bytes{cut}"),
    ]
    head = "".join(f"{name + ':':13}{value}\n" for name, value in rows)
    return f"{head}\n{_shown(letter.raw)}"


def printable(text: str) -> str:
    """A text on one line: what a terminal would act on is escaped."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _shown(raw: bytes) -> str:
    """The bytes as text; in hexadecimal where they are none."""
    try:
        lines = raw.decode().replace("\t", "    ").split("\n")
    except UnicodeDecodeError:
        return "".join(_hex(raw, at) for at in range(0, len(raw), _BYTES))
    return "".join(f"{printable(line)}\n" for line in lines)


def _hex(raw: bytes, at: int) -> str:
    some = raw[at : at + _BYTES]
    text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in some)
    return f"{at:08x}  {some.hex(' '):{3 * _BYTES}} {text}\n"
