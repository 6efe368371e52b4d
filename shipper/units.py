"""Sizes and durations as people write them in a config: ``64MiB``, ``5s``."""

import re
from math import isfinite
from typing import Final

_SIZES: Final = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12} | {
    "KiB": 2**10,
    "MiB": 2**20,
    "GiB": 2**30,
    "TiB": 2**40,
}
_DURATIONS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_NUMBER: Final = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([A-Za-z]*)\s*")


class ByteSize(int):
    """A number of bytes. In a config: ``4096``, ``64MiB``, ``1.5GiB``, ``10MB``."""

    @classmethod
    def parse(cls, text: str) -> "ByteSize":
        """:raises ValueError: the text is not a size; the message says which spellings are."""
        match = _NUMBER.fullmatch(text)
        units = {unit.lower(): factor for unit, factor in _SIZES.items()}
        if match is None or match[2].lower() not in units:
            raise ValueError(f"{text!r} is not a size; write bytes or a unit, as in 4096, 256KiB, 64MiB, 1GiB")
        size = float(match[1]) * units[match[2].lower()]
        if not isfinite(size):
            raise ValueError("a size of so many digits is none")
        return cls(size)

    def __str__(self) -> str:
        for unit in ("TiB", "GiB", "MiB", "KiB"):
            if self and self % _SIZES[unit] == 0:
                return f"{int(self) // _SIZES[unit]}{unit}"
        return f"{int(self)}B"


class Share(str):
    """A part of a disk. In a config: a percentage of it, ``5%``, or a size, ``200MiB``."""

    __slots__ = ()

    @classmethod
    def parse(cls, text: str) -> "Share":
        """:raises ValueError: the text is neither; the message says which spellings are."""
        match = _NUMBER.fullmatch(text.strip().removesuffix("%"))
        if text.strip().endswith("%"):
            if match is None or match[2] or float(match[1]) > 100:
                raise ValueError(f"{text!r} is not a percentage; write 0% to 100%")
        else:
            ByteSize.parse(text)
        return cls(text.strip())

    def of(self, total: int) -> int:
        """The part in bytes, of a disk of ``total`` bytes."""
        return int(total * float(self[:-1]) / 100) if self.endswith("%") else ByteSize.parse(self)


class Duration(float):
    """A span of time in seconds. In a config: ``0``, ``100ms``, ``5s``, ``2m``, ``1h``, ``7d``."""

    @classmethod
    def parse(cls, text: str) -> "Duration":
        """:raises ValueError: the text is not a duration; the message says which spellings are."""
        match = _NUMBER.fullmatch(text)
        if match is not None and not match[2] and float(match[1]) == 0:
            return cls(0.0)
        if match is None or match[2] not in _DURATIONS:
            raise ValueError(f"{text!r} is not a duration; write a number and a unit, as in 100ms, 5s, 2m, 1h, 7d")
        return cls(float(match[1]) * _DURATIONS[match[2]])

    def __str__(self) -> str:
        for unit in ("d", "h", "m", "s"):
            if self and self % _DURATIONS[unit] == 0:
                return f"{int(self / _DURATIONS[unit])}{unit}"
        return f"{self * 1000:g}ms" if self else "0s"
