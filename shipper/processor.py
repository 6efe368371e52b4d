"""What every processor is: the base class, and what the engine promises to those who write one."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

import msgspec

from shipper.batch import Record
from shipper.units import ByteSize, Duration

if TYPE_CHECKING:
    from shipper.chain.expression import Condition  # few processors have a ``where``

OnError: TypeAlias = Literal["keep", "dead_letter", "drop"]
_DEADLINE = Duration(10)
_LEAST_DEADLINE = Duration(0.1)
_MEMORY = ByteSize(512 * 1024 * 1024)
_LEAST_MEMORY = ByteSize(32 * 1024 * 1024)
"""The interpreter with the engine takes 12 MiB of it."""
_NO_LABELS: Mapping[str, Any] = MappingProxyType({})


class Processor(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, dict=True):
    """The base of every processor. Write one method: ``process``, or ``process_batch``.

    Annotated attributes are the processor's settings, the class's docstring is its documentation, a string under an
    attribute documents it. There is no ``__init__``: ``setup`` makes what is needed from the settings and keeps it on
    ``self``. Everything is synchronous, calls of one instance never overlap, and each source has its own instance.
    """

    where: str | None = None
    """Only records that meet this condition are processed; the others pass untouched."""
    on_error: OnError | None = None
    """What becomes of a record that fails: ``keep`` (it goes on with the error in a field), ``dead_letter`` (it is set
    aside with its raw bytes), ``drop`` (it is counted and gone)."""
    isolation: Literal["process"] | None = None
    """``process``: run it in a process of its own, so that code which hangs, eats memory or ends its process costs the
    record that made it do so, and nothing else."""
    deadline: Duration = _DEADLINE
    """With ``isolation``: how long the processor may take for one batch. Then its process is killed."""
    max_memory: ByteSize = _MEMORY
    """With ``isolation``: how much memory its process may take."""

    default_on_error: ClassVar[OnError] = "dead_letter"
    """What ``on_error`` is where the config does not say."""
    error_field: ClassVar[str] = "processor_error"
    """The field that says why on a record that failed and is kept, unless a field of that name is there already."""
    bisect: ClassVar[bool] = True
    """When ``process_batch`` raises, call it again with halves of the batch until the bad record is found, so that it
    alone fails. Set it to False when a record must not be seen twice: then the whole batch fails."""
    owns_where: ClassVar[bool] = False
    """The processor looks at ``self.condition`` itself: it gets all records, and ``where`` is its point."""
    selects: ClassVar[Literal["keep", "drop"] | None] = None
    """``where`` alone says which records go on: those that meet it (``keep``), or the others (``drop``). Then the
    planner takes records out by itself, and it may not need to decode them."""

    other_names: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """What settings are called elsewhere, and what they are called here, for people who know them from there: a config
    error says so."""

    @property
    def reads(self) -> frozenset[str] | None:
        """The fields that the processor looks at, outermost names only; None: perhaps any. Known after ``setup``."""
        return None

    @property
    def writes(self) -> frozenset[str] | None:
        """The fields that the processor may add, change or take away, outermost names only; None: perhaps any. An empty
        set is a promise that it only takes records out: those that are left keep their bytes. Known after ``setup``.

        A processor that declares both sees records which may lack every other field: the planner decodes no more than
        it must.
        """
        return None

    def __post_init__(self) -> None:
        if self.isolation is None:
            if (self.deadline, self.max_memory) != (_DEADLINE, _MEMORY):
                raise ValueError("deadline and max_memory need a process of its own: write isolation: process")
            return
        if self.deadline < _LEAST_DEADLINE:
            raise ValueError(f"deadline is {self.deadline}, expected at least {_LEAST_DEADLINE}")
        if self.max_memory < _LEAST_MEMORY:
            raise ValueError(f"max_memory is {self.max_memory}, expected at least {_LEAST_MEMORY}")

    def setup(self) -> None:
        """Check the settings and make what is needed. Called before the first record; it may be called again.

        :raises ValueError: a setting cannot be used; it is shown as a config error with the line.
        """

    def teardown(self) -> None:
        """Give back what ``setup`` took. Called after the last record."""

    def process(self, record: Record) -> Record | list[Record] | None:
        """Return the record (it may be changed in place), several in its place, or None to drop it.

        An exception costs that record alone (``on_error``). Raise before changing the record: it may be kept.
        """
        raise NotImplementedError(f"{type(self).__name__} must define process or process_batch: {len(record)}")

    def process_batch(self, records: list[Record]) -> list[Record]:
        """Return what the records of one batch become, in their order; those left out are dropped.

        Override it where a whole batch at once is faster, or is the point; ``process`` is not called then. Return the
        record objects given where records go on, so that the engine knows which is which. When it raises it is called
        again with parts of the same list (see ``bisect``), so changes in place must bear repeating.
        """
        raise NotImplementedError(f"{type(self).__name__} must define process or process_batch: {len(records)}")

    def why_dropped(self, record: Record) -> str:
        """Why a record that it dropped a moment ago, alone in its batch, did not go on. For ``shipper explain``:
        nothing else calls it. ``record`` is as it came. Empty: there is nothing to say.
        """
        del record
        return ""

    def process_lines(self, lines: list[bytes]) -> "list[Record | Exception] | None":
        """Parse raw lines directly, one result a line in their order: a record, or what is wrong. They come without the
        newline at their ends; newlines stand in those that were joined of several (``multiline``).

        For parsers: it is called in place of the other two when the processor is the first to see a batch of raw lines,
        and must give what they would for ``{"message": text}``. None: not this time.
        """
        del lines
        return None

    @property
    def takes_json(self) -> bool:
        """All it does with a raw line that is one JSON object is to take that object for the record. Then the planner
        decodes as little of the line as it must, and keeps its bytes. Known after ``setup``.
        """
        return False

    def json_lines(self, lines: list[bytes]) -> "list[bytes | Exception] | None":
        """Parse raw lines to JSON text, one result a line in their order: a JSON object on one line (valid UTF-8, no
        newline in it), or what is wrong. Decoded, each must equal what ``process_lines`` gives.

        For parsers that can write what they found without making a record of it. It is called in place of
        ``process_lines`` when nothing behind needs more than a few fields. None: not this time, ``process_lines`` is
        called.
        """
        del lines
        return None

    def suspects(self, data: bytes) -> list[int] | None:
        r"""Where in ``data`` stands something that may make the processor change or drop its record: the others pass it
        without being decoded. Offsets in ascending order; any byte of the record will do, and several of one record
        are as good as one. A record without an offset must be one that the processor leaves exactly as it is.

        For processors that change few records, whatever field the reason stands in. ``data`` holds many records, each
        followed by a newline: raw lines (joined ones hold newlines themselves), or JSON objects. In those a text may be
        spelled with the escapes ``\"`` ``\\`` ``\/`` ``\b`` ``\f`` ``\n`` ``\r`` ``\t``. Records with ``\u`` in them,
        and those that are not UTF-8, count as suspect without being asked about. Not called where ``where`` chooses.
        None: all are suspect (or too many to be worth it).
        """
        del data
        return None

    def constants(self) -> dict[str, Any] | None:
        """Fields that every record is to have, the same for all, where the processor does nothing else: they become
        labels, at no cost a record, unless there are labels of these names. None: it does more than that.
        """
        return None

    def snapshot(self) -> bytes:
        """The state to have back after a restart. Override it, with ``restore``, where batches depend on earlier ones.

        Called after each batch, and stored in the same write as the batch that made it: neither is there without the
        other, whenever the machine stops.
        """
        return b""

    def restore(self, state: bytes) -> None:
        """Take back what ``snapshot`` gave. Called after ``setup`` and before the first record, if there is any.

        :raises ValueError: the state cannot be understood; the program does not start then.
        """
        del state

    @property
    def labels(self) -> Mapping[str, Any]:
        """The labels of the batch at hand, read-only."""
        labels: Mapping[str, Any] = self.__dict__.get("_labels", _NO_LABELS)
        return labels

    @property
    def called(self) -> str:
        """What the config calls it, and where it stands there, for messages: ``lookup_2 (agent.yaml:8)``."""
        called: str = self.__dict__.get("_called", type(self).__name__)
        return called

    @property
    def condition(self) -> "Condition | None":
        """The compiled ``where``."""
        condition: Condition | None = self.__dict__.get("_condition")
        return condition
