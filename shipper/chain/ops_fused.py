"""Filters that stand side by side in a plan: one pass over the decoded fields says which of them takes a row out.

What is counted, and which record is which, is as if they had come one after the other: a row that two of them would
take out is counted for the first, and the second does not judge it.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, Final

from shipper.batch import Record
from shipper.chain.isolate import Outcome
from shipper.chain.ops import Op, Sift, listed, places_of
from shipper.chain.ops_where import Filter
from shipper.chain.rows import Rows
from shipper.chain.where_code import Compiler
from shipper.chain.work import Work

_MOST: Final = 32
"""So many filters in one pass: they are nested in its code, which Python reads only to some depth."""
_TEMPLATE: Final = """
def judge(records, labels):
{labels}    return bytes([{code} for r in records])
"""
_Judge = Callable[[Sequence[Record], Mapping[str, Any]], bytes]


class Fused(Op):
    """Adjacent filters, of which the first looks at decoded fields; the others then do so anyway."""

    def __init__(self, filters: Sequence[Filter], parts: Sequence[Op]) -> None:
        """``parts``: what comes to the same, the first filter by itself."""
        super().__init__(filters[0].step)
        self.filters = filters
        self.parts = parts
        self.place = len(filters)
        self._stays = _table({self.place: 1}, other=0)

    @property
    def said(self) -> str:
        """See ``Op``."""
        names = ", ".join(part.step.name for part in self.filters)
        fields = frozenset[str]().union(*(part.condition.fields for part in self.filters))
        return f"{names}: one look at {listed(fields)} of each line"

    @property
    def told(self) -> list[str]:
        """See ``Op``: where bytes may say what the first filter takes out, that filter is by itself."""
        return [line for part in self.parts for line in part.told] if self.filters[0].few.hopes else [self.said]

    def run(self, work: Work, rows: Rows) -> bool:
        """See ``Op``."""
        first = self.filters[0]
        if first.fields is None or first.few.can(work, rows):
            return False
        first.fields.have(rows)
        try:
            verdicts = self._judge(rows.records, work.labels)
        except Exception:  # noqa: BLE001 - too slow a pattern, or values that cannot be compared: each filter copes
            return False
        before = rows.count
        for number, part in enumerate(self.filters):
            gone = verdicts.count(number)
            if gone:
                work.account(Outcome([], partial(_left, verdicts, number), gone), part.step.name, before)
                before -= gone
        if before < rows.count:
            rows.select(verdicts.translate(self._stays))
        return True

    @cached_property
    def _judge(self) -> _Judge:
        """Gives for each record the number of the filter that takes it out; of one that stays, how many there are."""
        compiler = Compiler()
        code = ""
        for number, part in enumerate(self.filters):
            test = part.condition.code(compiler)
            code += f"{number} if {test if part.step.selects == 'drop' else f'not {test}'} else "
        source = _TEMPLATE.format(labels=compiler.prologue(), code=f"{code}{self.place}")
        scope = compiler.scope() | {"bytes": bytes}
        exec(compile(source, "<filters>", "exec"), scope)  # noqa: S102 - as in ``expression``
        judge: _Judge = scope["judge"]
        return judge


def fused(ops: Sequence[Op]) -> list[Op]:
    """Operations that come to the same, with adjacent filters as one."""
    done: list[Op] = []
    for op in reversed(ops):
        end = 1 + (bool(done) and isinstance(done[0], Sift))  # the sieve of the next filter is part of it
        behind = done[end - 1] if len(done) >= end else None
        others = behind.filters if isinstance(behind, Fused) else [behind] if isinstance(behind, Filter) else []
        if isinstance(op, Filter) and others and len(others) < _MOST:
            done[:end] = [Fused([op, *others], [op, *done[:end]])]
        else:
            done.insert(0, op)
    return done


def _left(verdicts: bytes, number: int) -> list[int]:
    """Of the rows that a filter got, the places of those that it let go on."""
    return places_of(verdicts.translate(_table({number: 0}, other=1), bytes(range(number))))


def _table(known: Mapping[int, int], *, other: int) -> bytes:
    """For ``bytes.translate``."""
    return bytes([known.get(value, other) for value in range(256)])
