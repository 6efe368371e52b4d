"""What every processor is: the base class, and what the engine promises to those who write one."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

import msgspec

from shipper.batch import Record

if TYPE_CHECKING:
    from shipper.chain.expression import Condition  # few processors have a ``where``

OnError: TypeAlias = Literal["keep", "dead_letter", "drop"]
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

    default_on_error: ClassVar[OnError] = "dead_letter"
    """What ``on_error`` is where the config does not say."""
    error_field: ClassVar[str] = "processor_error"
    """The field that says why on a record that failed and is kept, unless a field of that name is there already."""
    bisect: ClassVar[bool] = True
    """When ``process_batch`` raises, call it again with halves of the batch until the bad record is found, so that it
    alone fails. Set it to False when a record must not be seen twice: then the whole batch fails."""
    owns_where: ClassVar[bool] = False
    """The processor looks at ``self.condition`` itself: it gets all records, and ``where`` is its point."""
    reads: ClassVar[frozenset[str] | None] = None
    """The fields that the processor looks at; None: perhaps any."""
    writes: ClassVar[frozenset[str] | None] = None
    """The fields that the processor may change; None: perhaps any. An empty set is a promise that it only takes records
    out: then those that are left keep their bytes as they are, and nothing is encoded."""

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

    def process_lines(self, lines: list[bytes]) -> "list[Record | Exception] | None":
        """Parse raw lines (without newlines) directly, one result a line in their order: a record, or what is wrong.

        For parsers: it is called in place of the other two when the processor is the first to see a batch of raw lines,
        and must give what they would for ``{"message": text}``. None: not this time.
        """
        del lines
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
    def condition(self) -> "Condition | None":
        """The compiled ``where``."""
        condition: Condition | None = self.__dict__.get("_condition")
        return condition
