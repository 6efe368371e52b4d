"""Operations of a plan behind the parser, or where there is none: filters, and processors in their places."""

from functools import partial
from itertools import compress
from typing import TYPE_CHECKING

from shipper.chain.ops import Fields, Op, Pause, listed, places_of
from shipper.chain.prefilter import Needles
from shipper.chain.project import Projection
from shipper.chain.rows import Rows
from shipper.chain.step import Step
from shipper.chain.work import Work
from shipper.errors import PatternTimeout

if TYPE_CHECKING:
    from shipper.chain.expression import Condition


class Filter(Op):
    """``where`` says which rows go on."""

    def __init__(self, step: Step, condition: "Condition", fields: Fields | None, needles: Needles | None) -> None:
        """``fields``: None where nothing is to be decoded of lines without a needle."""
        super().__init__(step)
        self.condition = condition
        self.fields = fields
        if fields is not None:
            fields.need(condition.fields)
        self.few = Few(condition, needles)

    @property
    def said(self) -> str:
        """See ``Op``."""
        return f"{self.step.name}: {self.few}"

    def run(self, work: Work, rows: Rows) -> bool:
        """See ``Op``."""
        drops = self.step.selects == "drop"
        try:
            met = self.few.find(work, rows)
            if met is not None:
                if met or not drops:
                    chosen = set(met)
                    self._select(work, rows, [(at in chosen) is not drops for at in range(rows.count)])
                return True
            if self.fields is None:
                return False
            self.fields.have(rows)
            mask = self.condition.mask(rows.records, work.labels)
        except PatternTimeout:
            return False
        self._select(work, rows, [not yes for yes in mask] if drops else mask)
        return True


class Chosen(Op):
    """The processor sees the records that ``where`` chooses, in full unless it declares its fields."""

    def __init__(self, step: Step, condition: "Condition", fields: Fields | None, needles: Needles | None) -> None:
        """``fields``: see ``Filter``."""
        super().__init__(step)
        self._condition = condition
        self._fields = fields
        if fields is not None:
            fields.need(condition.fields)
        self._few = Few(condition, needles)

    @property
    def said(self) -> str:
        """See ``Op``."""
        so = "changes are decoded whole" if self.step.changes else "sees are decoded, and keep their bytes"
        return f"{self.step.name}: {self._few}; those that it {so}"

    def run(self, work: Work, rows: Rows) -> bool:
        """See ``Op``."""
        try:
            met = self._few.find(work, rows)
            if met is None:
                if self._fields is None:
                    return False
                self._fields.have(rows)
                met = places_of(self._condition.mask(rows.records, work.labels))
        except PatternTimeout:
            return False
        self._only(work, rows, met)
        return True


class Dense(Op):
    """The processor sees the records, but only the fields that it declares."""

    def __init__(self, step: Step, fields: Fields, needles: Needles | None) -> None:
        super().__init__(step)
        self._fields = fields
        reads, writes = step.reads or frozenset(), step.writes or frozenset()
        self._few = None
        if step.chosen is not None:
            reads |= step.chosen.fields
            self._few = Few(step.chosen, needles)
        fields.need(reads, writes | {step.processor.error_field})

    @property
    def said(self) -> str:
        """See ``Op``."""
        seen = f" of records that meet its condition ({self._few})" if self._few else ""
        kept = "what it adds is put into the lines" if self.step.changes else "the lines keep their bytes"
        return f"{self.step.name}: sees {listed(self.step.reads)}{seen}; {kept}"

    def run(self, work: Work, rows: Rows) -> bool:
        """See ``Op``."""
        try:
            met = None if self._few is None else self._few.find(work, rows)
        except PatternTimeout:
            return False
        if met is not None:
            self._only(work, rows, met)
            return True
        self._fields.have(rows)
        if rows.count:
            self.step.see(rows.records, work.labels, self.step.begin(work), partial(self._take, work, rows))
        return True


class Suspects(Op):
    """The processor sees the records that it suspects, in full; the other lines stay."""

    def __init__(self, step: Step, dense: Dense | None) -> None:
        """``dense``: what is done where it suspects all; None: the ordinary way."""
        super().__init__(step)
        self._dense = dense

    @property
    def said(self) -> str:
        """See ``Op``."""
        return f"{self.step.name}: only lines that look suspicious are decoded"

    def run(self, work: Work, rows: Rows) -> bool:
        """See ``Op``."""
        self.step.begin(work)
        found = rows.suspects(self.step.processor.suspects)
        if found is None:
            return self._dense is not None and self._dense.run(work, rows)
        self._only(work, rows, found)
        return True


class Few:
    """The rows that meet a condition, found by their bytes."""

    def __init__(self, condition: "Condition", needles: Needles | None) -> None:
        self._condition = condition
        self._needles = needles
        self.hopes = needles is not None
        """Bytes may say it."""
        self._looked = Projection(condition.fields)
        self._pause = Pause()

    def __str__(self) -> str:
        names = listed(self._condition.fields)
        return f"looks at {names}" + (f" of lines with {self._needles}" if self._needles else "")

    def can(self, work: Work, rows: Rows) -> bool:
        """Whether bytes say it of this batch."""
        return (
            self._needles is not None and not rows.decoded and self._needles.usable(work.labels) and self._pause.over()
        )

    def find(self, work: Work, rows: Rows) -> list[int] | None:
        """Which they are; None where bytes do not say it.

        :raises PatternTimeout: the condition cannot be judged in time.
        """
        if self._needles is None or not self.can(work, rows):
            return None
        places = rows.search(self._needles.texts, json=rows.json)
        self._pause.note(len(places), rows.count)
        mask = self._condition.mask(rows.peek(self._looked, places), work.labels)
        return list(compress(places, mask))
