"""What a process and its workers send each other: plain classes of this package, and their pickles.

What a worker is to do is a pickle, and the batch's payload as it is: nothing copies it on its way into the connection.
"""

import copyreg
import io
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from shipper.batch import Batch, DeadLetter, Format, Labels, Payload, SourceRange
from shipper.chain.guard import Guard
from shipper.processor import Processor
from shipper.spool.frame import Frame, FrameDraft

READY: Final = "ready"
"""The first answer."""


class Step(NamedTuple):
    """One processor of a chain, as it travels: the class and its settings, as they were read from the config."""

    name: str
    place: str
    processor: Processor


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a chain is made of."""

    source: str
    labels: Labels
    """The source's, for frames that say what was lost."""
    steps: tuple[Step, ...]
    max_frame: int
    """In bytes."""


class Open(msgspec.Struct, frozen=True):
    """Make a chain, to be known by a number. Not answered."""

    number: int
    recipe: Recipe
    state: Mapping[str, bytes]


class Close(msgspec.Struct, frozen=True):
    """Forget a chain. Not answered."""

    number: int


class Run(msgspec.Struct, frozen=True):
    """Run a batch through a chain. With ``guard`` through another one, from ``state``, that begins with it: the chain
    itself does not see the batch. Answered with ``Made`` or, where the chain raised, with the text of the error.
    """

    number: int
    batch: Batch
    room: int
    """For dead letters, in bytes."""
    guard: Guard | None = None
    state: Mapping[str, bytes] | None = None


class Made(msgspec.Struct, frozen=True):
    """What became of a batch."""

    frames: list[Frame | FrameDraft] | None
    """None: the frame that came goes on as it is."""
    ranges: list[SourceRange]
    state: dict[str, bytes | None]
    """What the processors changed."""
    dead_letters: list[DeadLetter]
    kept_errors: list[tuple[str, int]]
    """Records that failed and were kept, by processor."""
    invalid_utf8: int
    """Records whose text was not UTF-8."""


Parcel: TypeAlias = tuple[bytes, *tuple[memoryview, ...]]
"""A pickle, and the payloads that belong to it, in their order."""


def packed(value: Any) -> Parcel:
    """Not copied: the payloads are those of the value.

    :raises Exception: there is something in it that cannot be pickled.
    """
    payloads: list[pickle.PickleBuffer] = []
    return _pickle(value, payloads.append), *(payload.raw() for payload in payloads)


def pickled(value: Any) -> bytes:
    """The pickle, with the payloads in it."""
    return _pickle(value, None)


def unpacked(body: bytes, payloads: Iterator[bytes]) -> Any:
    """What ``packed`` was given, or ``pickled``; ``payloads`` is asked for as many as there are. The sender is trusted:
    a checksum has told that the bytes are its own.
    """
    return pickle.loads(body, buffers=payloads)  # noqa: S301


def classes_of(recipes: Iterable[Recipe]) -> set[type[Processor]]:
    """The classes that a child must be able to import."""
    return {type(step.processor) for recipe in recipes for step in recipe.steps}


def _pickle(value: Any, aside: Callable[[pickle.PickleBuffer], None] | None) -> bytes:
    out = io.BytesIO()
    _Pickler(out, 5, buffer_callback=aside).dump(value)
    return out.getvalue()


def _payload(kind: int, data: bytes, count: int) -> Payload:
    return Payload(Format(kind), data, count)


def _by_fields(kind: type[Any]) -> Callable[[Any], tuple[Any, ...]]:
    """What ``pickle`` would do by itself, without the Python code that it would call."""
    values = attrgetter(*(field.name for field in fields(kind)))
    return lambda value: (kind, values(value))


_frame: Final = _by_fields(Frame)


def _reduced_frame(frame: Frame) -> tuple[Any, ...]:
    kind, (raw, *others) = _frame(frame)
    return kind, (pickle.PickleBuffer(raw), *others)


_REDUCED: Final[dict[type[Any], Callable[[Any], tuple[Any, ...]]]] = {
    Batch: _by_fields(Batch),
    Payload: lambda payload: (_payload, (int(payload.format), pickle.PickleBuffer(payload.data), payload.count)),
    Frame: _reduced_frame,
    FrameDraft: _by_fields(FrameDraft),
}
"""Large bytes are buffers, which may go aside."""


class _Table(dict[type[Any], Callable[[Any], Any]]):
    """With what others have registered, now or later: compiled regular expressions, for one."""

    def __missing__(self, kind: type[Any]) -> Callable[[Any], Any]:
        return copyreg.dispatch_table[kind]


class _Pickler(pickle.Pickler):
    dispatch_table = _Table(_REDUCED)
