"""What a plan does with the rows of a batch: one operation for each step, in the step's place.

Each returns False where it cannot go on with rows after all; nothing has happened then, and the chain goes on from its
step in the ordinary way, with every record decoded. Whatever an operation does must come to what the step would do.
"""

from collections.abc import Sequence
from functools import partial
from itertools import compress
from typing import Any, Final

from shipper.batch import Record
from shipper.chain.decode import raw_record
from shipper.chain.isolate import Outcome, run_where, settle
from shipper.chain.prefilter import Needles
from shipper.chain.project import Projection
from shipper.chain.rows import Rows
from shipper.chain.step import Step
from shipper.chain.work import Work

_LATER: Final[dict[str, Any]] = {}
"""In place of a record that is not decoded yet, where a record is looked at only if there was an error."""


class Fields:
    """What of each line the operations of one plan need, once it is decoded."""

    def __init__(self) -> None:
        self.read: frozenset[str] = frozenset()
        self.tracked: frozenset[str] = frozenset()
        self.projection = Projection(frozenset())

    def need(self, read: frozenset[str], written: frozenset[str] = frozenset()) -> None:
        """Some step needs these."""
        self.read |= read | written
        self.tracked |= written
        self.projection = Projection(self.read)

    def __str__(self) -> str:
        return f"decodes {listed(self.read)} of each line" if self.read else "checks each line, and decodes no field"

    def have(self, rows: Rows) -> None:
        """Decode them, if that has not been done."""
        if not rows.decoded:
            rows.decode(self.projection)
            rows.track(sorted(self.tracked))


class Op:
    """One step in a plan, or what is done for it before its turn."""

    place = 1
    """How many steps are done with it."""
    parts: "Sequence[Op]" = ()
    """What is done instead where it cannot be done itself; nothing: the ordinary way."""

    def __init__(self, step: Step) -> None:
        self.step = step

    @property
    def told(self) -> list[str]:
        """What it comes to, for people, a line for each part."""
        return [self.said]

    @property
    def said(self) -> str:
        """What it does, for people."""
        raise NotImplementedError

    def run(self, work: Work, rows: Rows) -> bool:
        """Do it; False: not this way."""
        raise NotImplementedError

    def _take(self, work: Work, rows: Rows, outcome: Outcome, *, before: int) -> None:
        work.account(outcome, self.step.name, before)
        rows.replace(outcome.records, outcome.sources)

    def _select(self, work: Work, rows: Rows, mask: list[bool]) -> None:
        """Take rows out and count them."""
        left = sum(mask)
        if left < len(mask):
            work.account(Outcome([], partial(places_of, mask), len(mask) - left), self.step.name, len(mask))
            rows.select(mask)

    def _only(self, work: Work, rows: Rows, places: list[int]) -> None:
        """Let the processor see these rows, in full; the others pass."""
        if not places:
            return
        fail = self.step.begin(work)
        chosen = set(places)
        mask = [at in chosen for at in range(rows.count)]
        if self.step.changes:
            rows.whole(places)
            self._take(work, rows, run_where(self.step.call, rows.records, mask, fail), before=len(mask))
            return
        # It only takes rows out: those that go on stay as they are, but for one that failed and says so.
        failed: list[tuple[int, Record]] = []

        def note(at: int, record: Record, error: Exception) -> Record | None:
            left = fail(at, record, error)
            if left is not None:
                failed.append((at, left))
            return left

        records = rows.records.copy()
        for at, record in zip(places, rows.full(places), strict=True):
            records[at] = record
        outcome = run_where(self.step.call, records, mask, note)
        work.account(outcome, self.step.name, len(mask))
        for at, record in failed:
            rows.keep(at, record)
        if outcome.sources is not None:
            rows.replace([rows.records[at] for at in outcome.sources()], outcome.sources)


class Label(Op):
    """Constants become labels."""

    @property
    def said(self) -> str:
        """See ``Op``."""
        return f"{self.step.name}: its fields become labels, at no cost a record"

    def run(self, work: Work, rows: Rows) -> bool:  # noqa: ARG002 - records have no part in it
        """See ``Op``."""
        self.step.label(work)
        return True


class Sift(Op):
    """Before anything is decoded: lines that a later step drops in any case."""

    place = 0

    def __init__(self, step: Step, needles: Needles, *, json: bool) -> None:
        """``json``: the lines are JSON objects, or will be taken for such."""
        super().__init__(step)
        self._needles = needles
        self._json = json
        self._pause = Pause()

    @property
    def said(self) -> str:
        """See ``Op``."""
        return f"{self.step.name}: lines without {self._needles} go before anything is decoded"

    def run(self, work: Work, rows: Rows) -> bool:
        """See ``Op``."""
        if not rows.decoded and self._needles.usable(work.labels) and self._pause.over():
            before = rows.count
            chosen = rows.sift(self._needles.texts, json=self._json)
            self._pause.note(rows.count, before)
            if rows.count < before:
                work.account(Outcome([], chosen, before - rows.count), self.step.name, before)
        return True


class Parse(Op):
    """Raw lines are JSON objects: some fields are decoded, the lines stay."""

    def __init__(self, step: Step, fields: Fields) -> None:
        super().__init__(step)
        self._fields = fields

    @property
    def said(self) -> str:
        """See ``Op``."""
        return f"{self.step.name}: {self._fields}; the lines keep their bytes"

    def run(self, work: Work, rows: Rows) -> bool:
        """See ``Op``."""
        if rows.raw is None or not rows.single:
            return False
        if rows.count:
            raw = rows.lines
            found: list[Any] = rows.project(self._fields.projection)
            settled(self, work, rows, found, [*raw])
            rows.track(sorted(self._fields.tracked))
        rows.decoded = rows.json = True
        return True


class Write(Op):
    """A parser writes JSON objects of raw lines."""

    @property
    def said(self) -> str:
        """See ``Op``."""
        return f"{self.step.name}: writes JSON, without making records"

    def run(self, work: Work, rows: Rows) -> bool:
        """See ``Op``."""
        raw: Any = rows.raw
        if raw is None:
            return False
        written = self.step.write_json(raw) if raw else []
        if written is None:
            return False
        kinds = set(map(type, written))
        if not all(issubclass(kind, (bytes, Exception)) for kind in kinds):
            return False
        failed = kinds != {bytes}
        lines: Any = [line if isinstance(line, bytes) else None for line in written] if failed else written
        if b"\n" in b"".join(filter(None, lines) if failed else lines):
            return False
        rows.rewrite(lines)
        if None in lines:
            found: list[Any] = [_LATER if isinstance(line, bytes) else line for line in written]
            settled(self, work, rows, found, raw)
        return True


def settled(op: Op, work: Work, rows: Rows, found: list[Any], raw: list[Any]) -> None:
    """A parser is done, perhaps with errors in the place of some records."""
    if set(map(type, found)) == {dict}:
        rows.replace(found, None)
        return
    for at, record in enumerate(found):
        if isinstance(record, Exception):
            rows.lines[at] = None
    outcome = settle(found, lambda at: raw_record(raw[at]), op.step.begin(work))
    work.account(outcome, op.step.name, len(raw))
    rows.replace(outcome.records, outcome.sources)


class Pause:
    """Looking for bytes that most lines hold is not worth it: then it is left for some batches."""

    def __init__(self) -> None:
        self._left = 0

    def over(self) -> bool:
        """Whether to look."""
        self._left -= self._left > 0
        return not self._left

    def note(self, found: int, looked: int) -> None:
        """So many of the lines held what was looked for."""
        if found > looked // 2:
            self._left = 64


def listed(names: frozenset[str] | None) -> str:
    """Names of fields, for people."""
    return ", ".join(sorted(names or ())) or "no field"


def places_of(mask: Sequence[int]) -> list[int]:
    """Where the mask is true."""
    return list(compress(range(len(mask)), mask))
