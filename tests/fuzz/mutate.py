"""Inputs that are nearly right: those come far, random bytes fail at the first check."""

import random
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

LIMITS: Final = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)
"""Numbers at which lengths and counts go wrong."""
INTEGERS: Final = st.one_of(st.sampled_from(LIMITS), st.integers(0, 300), st.integers(-(2**63), 2**64 - 1))
_WORDS: Final = (
    b"\n",
    b"\0",
    b"\xff",
    b'"',
    b"\\",
    b" ",
    b"=",
    b"[",
    b"{",
    b"9" * 30,
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
)
_KINDS: Final = ("flip", "set", "cut", "drop", "double", "move", "splice", "word", "number", "fill")
_PLACE: Final = st.integers(0, 2**16 - 1)
_LONGEST: Final = 1 << 20


@st.composite
def mutated(
    draw: DrawFn, valid: SearchStrategy[bytes], words: Sequence[bytes] = (b"\n", b"\0", b"\xff"), most: int = 4
) -> bytes:
    """Valid inputs with up to ``most`` mistakes: flipped bits, cuts, parts doubled, moved, or of another input, some of
    ``words`` put in, numbers at their limits written over whatever stands there.
    """
    data = draw(valid)
    for _ in range(draw(st.integers(0, most))):
        kind = draw(st.sampled_from(_KINDS))
        at, size = draw(_PLACE) % (len(data) + 1), draw(st.integers(0, 64) | _PLACE)
        other = b""
        if kind == "splice":
            other = draw(valid)
            other = other[size % (len(other) + 1) :]
        elif kind == "word":
            other = draw(st.sampled_from(words))
        elif kind == "number":
            width = (1, 2, 4, 8)[size % 4]
            number = draw(st.sampled_from(LIMITS)) % 256**width
            other = number.to_bytes(width, "little" if size & 4 else "big")
        data = _mistake(kind, data, at, size, other)
    return data


def shaken(value: Any, dice: random.Random) -> Any:
    """A value with other mistakes in its bytes and texts: a hundred times as fast as drawing another one."""
    match value:
        case bytes():
            for _ in range(dice.randint(1, 3)):
                at, size = dice.randint(0, len(value)), dice.choice((dice.randint(0, 16), dice.randint(0, 2**16)))
                other = dice.choice((dice.choice(_WORDS), value[size % (len(value) + 1) :], dice.randbytes(4)))
                value = _mistake(dice.choice(_KINDS), value, at, size, other)
            return value[:_LONGEST]
        case str():
            return shaken(value.encode("utf-8", "surrogatepass"), dice).decode("utf-8", "replace")
        case dict():
            chosen = dice.choice([*value]) if value else None
            return {name: shaken(each, dice) if name == chosen else each for name, each in value.items()}
        case list() | tuple():
            # Text beside bytes is a name of something: which parser takes them.
            places = [at for at, each in enumerate(value) if not isinstance(each, (str, int))] or [*range(len(value))]
            at = dice.choice(places) if places else 0
            return type(value)(shaken(each, dice) if number == at else each for number, each in enumerate(value))
    return value


def _mistake(kind: str, data: bytes, at: int, size: int, other: bytes) -> bytes:
    head, tail = data[:at], data[at:]
    return {
        "flip": lambda: head + bytes(byte ^ 1 << size % 8 for byte in tail[:1]) + tail[1:],
        "set": lambda: head + bytes([size % 256]) + tail[1:],
        "cut": lambda: head,
        "drop": lambda: head + tail[size:],
        "double": lambda: data[: at + size] + tail,
        "move": lambda: tail + head,
        "splice": lambda: head + other,
        "word": lambda: head + other + tail[size % 4 :],
        "number": lambda: head + other + tail[len(other) :],
        "fill": lambda: head + tail[:1] * (size % 4096) + tail[1:],
    }[kind]()


@st.composite
def split(draw: DrawFn, data: SearchStrategy[bytes], most: int = 6) -> list[bytes]:
    """Bytes as a connection or a file gives them: in pieces of any size."""
    whole = draw(data)
    places = sorted({0, len(whole), *(draw(st.lists(st.integers(0, len(whole)), max_size=most)))})
    return [whole[a:b] for a, b in pairwise(places)]
