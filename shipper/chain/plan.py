"""The plan of a chain: what is done with a batch so that it costs as little as may be. Sans-IO.

The steps of a chain, one after the other over decoded records, are what a config means (``Step.run``). A plan is made
once, from what the processors declare, and its result is the same once decoded:

- As many steps as can from the beginning on work on *rows*: lines that keep their bytes, with only those fields decoded
  that some step reads or writes (``rows``, ``project``, ``splice``). From the first step that needs all of every record
  the rest goes the ordinary way. Is there such a step, only that is done before which spares decoding.
- Filters that stand side by side look at a record's fields together (``ops_fused``).
- A condition on text says what bytes must stand in a line: others need not be looked at (``prefilter``).

There is a plan for raw lines and one for JSON objects (NDJSON from another shipper). Batches that are records already,
and plans that find something they cannot deal with, go the ordinary way.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING, Final

from shipper.chain.ops import Fields, Label, Op, Parse, Sift, Write
from shipper.chain.ops_fused import fused
from shipper.chain.ops_where import Chosen, Dense, Filter, Suspects
from shipper.chain.prefilter import Needles, needles
from shipper.chain.step import Step
from shipper.chain.work import Work

if TYPE_CHECKING:
    from shipper.chain.expression import Condition
    from shipper.chain.run import Chain
    from shipper.sources.base import Given

_HEAVY: Final = 4
"""Where one line of so many has to be decoded whole after all, all of them had better be at once."""
_LATER: Final = 64
"""After so many batches that is tried again."""


@dataclass(frozen=True, slots=True)
class _State:
    """What is known of rows between two operations."""

    json: bool
    """They are JSON objects."""
    sent: bool
    """Another shipper's, and perhaps none."""
    decoded: bool = False

    def needles(self, condition: "Condition", *, met: bool = True) -> Needles | None:
        """Those of a condition, where they help. What is no JSON object has a field ``parse_error`` that stands in no
        line.
        """
        if self.decoded or (self.sent and "parse_error" in condition.fields):
            return None
        return needles(condition, met=met)


class Plan:
    """How the steps of a chain are done for batches of one kind."""

    def __init__(self, steps: Sequence[Step], *, json: bool) -> None:
        """``json``: records come as JSON objects; else as raw lines."""
        self.ops, self.left = _ops(steps, json=json)
        """What is done, in the place of a step or before its turn; and how many steps go the ordinary way."""
        self._light = self.ops if self.left else _light(steps, json=json)[0]
        self._count = len(steps)
        self._heavy = 0

    def run(self, work: Work) -> int:
        """Do what can be done so. Returns how many of the steps are done."""
        rows = work.rows
        if rows is None:
            return 0
        self._heavy -= self._heavy > 0
        done = 0
        todo = [*reversed(self._light if self._heavy else self.ops)]
        while todo:
            op = todo.pop()
            if op.run(work, rows):
                done += op.place
            elif op.parts:
                todo += reversed(op.parts)
            else:
                break
        return done

    def learn(self, rewritten: int, count: int) -> None:
        """So many of the lines of a batch had to be decoded whole."""
        if rewritten > count // _HEAVY:
            self._heavy = _LATER


def describe(chain: "Chain", kinds: Sequence["Given"]) -> list[str]:
    """What is done with each processor of a chain, for people: a heading for each of these kinds of batches, and
    indented lines.
    """
    return [line for kind in kinds for line in (f"{kind}:", *(f"  {told}" for told in _told(chain, kind)))]


def _told(chain: "Chain", kind: "Given") -> Iterator[str]:
    names = [step.name for step in chain.steps]
    if kind == "records":
        yield f"{', '.join(names) or 'there is no processor'}: every record is encoded once at the end"
        return
    plan = Plan(chain.steps, json=kind == "JSON objects")
    for op in plan.ops:
        yield from op.told
    if plan.left:
        left = ", ".join(names[len(names) - plan.left :])
        yield f"{left}: every record is decoded once, and encoded once at the end"
    elif not plan.ops:
        yield "there is no processor: nothing is decoded"


def _ops(steps: Sequence[Step], *, json: bool) -> tuple[list[Op], int]:
    """The operations, and how many steps they leave."""
    fields = Fields()
    ops: list[Op] = []
    state = _State(json, sent=json)
    for at, step in enumerate(steps):
        if not state.json and step.takes_json:
            ops += _early(step, steps[at + 1 :])
        op = _op(step, fields, state)
        if op is None:
            return _light(steps, json=json)
        ops += [*_sift(step, state), op] if isinstance(op, Filter) else [op]
        if isinstance(op, (Parse, Write)):
            state = _State(json=True, sent=False, decoded=isinstance(op, Parse))
    return fused(ops), 0


def _light(steps: Sequence[Step], *, json: bool) -> tuple[list[Op], int]:
    """The operations that need no field of most lines."""
    state = _State(json, sent=json)
    found = [_op(step, None, state) for step in steps]
    ops = [op for op in takewhile(lambda op: op is not None, found) if op is not None]
    rest = steps[len(ops) :]
    sifted = [[*_sift(op.step, state), op] if isinstance(op, Filter) else [op] for op in ops]
    early = [*_early(rest[0], rest[1:])] if rest and rest[0].takes_json and not json else []
    return [*(op for part in sifted for op in part), *early], len(rest)


def _op(step: Step, fields: Fields | None, state: _State) -> Op | None:
    """What is done in place of a step; None where only the ordinary way does. ``fields``: what is decoded of every
    line; None where nothing is to be.
    """
    if step.constants is not None:
        return Label(step)
    if not state.json and (step.takes_json or step.writes_json or step.reads_lines):
        if fields is None or not (step.takes_json or step.writes_json):
            return None
        return Parse(step, fields) if step.takes_json else Write(step)
    condition = step.condition
    declared = step.reads is not None and step.writes is not None
    few = None if condition is None else state.needles(condition)
    if condition is None or (step.processor.owns_where and step.selects is None):
        dense = Dense(step, fields, None) if fields is not None and declared else None
        return Suspects(step, dense) if step.suspects else dense
    if fields is None and few is None:
        return None
    if step.selects is not None:
        return Filter(step, condition, fields, few)
    return Dense(step, fields, few) if fields is not None and declared else Chosen(step, condition, fields, few)


def _early(parser: Step, behind: Sequence[Step]) -> Iterator[Op]:
    """What can be done before lines are parsed, for the sake of the first filter behind the parser."""
    names = {parser.processor.error_field}
    for step in behind:
        if step.constants is None:
            break
        names |= step.constants.keys()
    else:
        return
    condition = step.condition
    if condition is None or step.selects is None or not condition.fields.isdisjoint(names):
        return
    found = needles(condition, met=step.selects == "keep")
    if found is not None and parser.on_error == "keep":  # who counts lines that are no JSON must see them all
        yield Sift(step, found, json=True)


def _sift(step: Step, state: _State) -> Iterator[Op]:
    """What can be done for a filter before it looks at fields."""
    if step.condition is not None and (found := state.needles(step.condition, met=step.selects == "keep")) is not None:
        yield Sift(step, found, json=state.json)
