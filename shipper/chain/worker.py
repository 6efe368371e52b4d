"""The child's side of ``workers``: the chains of all sources, bytes in, packed frames out.

Where batches come as fast as they are done, two answers go together: the parent is woken half as often, and what it has
to do for one goes into the spool with the other.
"""

import time
from collections.abc import Mapping, Sequence
from typing import Final

from shipper.batch import Batch
from shipper.chain.child_main import Parent
from shipper.chain.guard import Guard
from shipper.chain.parcels import READY, Close, Made, Open, Recipe, Run, Step, pickled, unpacked
from shipper.chain.run import Chain
from shipper.chain.words import called, one_of
from shipper.pack import entry_of
from shipper.spool.frame import Frame

_TOGETHER: Final = 2
"""So many answers go at once."""
_SOON: Final = 0.02
"""Seconds: an answer waits for the next one where its batch came and was done in less."""
_LETTER: Final = 256 * 1024
"""Room that one dead letter surely has."""


def serve(parent: Parent, start: Sequence[Recipe]) -> None:  # noqa: ARG001 - that they could be read is the point
    """Answer until the parent closes the connection.

    :raises EOFError: it did.
    """
    chains: dict[int, _Line] = {}
    answers: list[bytes] = []
    try:
        parent.send(pickled(READY))
        while True:
            began = time.monotonic()
            match unpacked(parent.receive(), parent.attached()):
                case Open(number, recipe, state):
                    chains[number] = _Line(recipe, state)
                case Close(number):
                    if number in chains:
                        chains.pop(number).close()
                case Run() as run:
                    answers.append(pickled(_answer(chains[run.number], run)))
            if answers and (len(answers) == _TOGETHER or time.monotonic() - began > _SOON or not parent.waits):
                parent.send(*answers)
                answers.clear()
    finally:
        for line in chains.values():
            line.close()


def _answer(line: "_Line", run: Run) -> Made | str:
    try:
        return line.run(run)
    except Exception as error:  # noqa: BLE001 - code of others: the source is started again
        return f"{type(error).__name__}: {error}"


class _Line:
    """One chain. It is made when it is first needed: an error in that is the answer to who needed it."""

    def __init__(self, recipe: Recipe, state: Mapping[str, bytes]) -> None:
        self._recipe = recipe
        self._state = state
        self._room = 0
        self._chain: Chain | None = None

    def run(self, run: Run) -> Made:
        """:raises ConfigError: the chain cannot be made here."""
        self._room = run.room
        if run.guard is None:
            if self._chain is None:
                self._chain = self._make(self._recipe.steps, self._state)
            return self._made(self._chain, run.batch)
        run.guard.on_error = "dead_letter" if run.room > _LETTER else "drop"
        chain = self._make((self._guarding(run.guard), *self._recipe.steps), run.state or {})
        try:
            return self._made(chain, run.batch)
        finally:
            chain.teardown()

    def close(self) -> None:
        """The processors give back what they hold."""
        if self._chain is not None:
            self._chain.teardown()

    def _make(self, steps: tuple[Step, ...], state: Mapping[str, bytes]) -> Chain:
        return Chain(steps, self._recipe.source, lambda: self._room, state)

    def _guarding(self, guard: Guard) -> Step:
        """The step before all others. The letters that it makes name those of which one ended the worker."""
        return Step("worker", one_of(called(step.name, step.place) for step in self._recipe.steps), guard)

    def _made(self, chain: Chain, batch: Batch) -> Made:
        before, came = chain.invalid_utf8, batch.payload
        done = chain.run(batch)
        entry = entry_of(done, self._recipe.labels, self._recipe.max_frame)
        same = isinstance(came, Frame) and done.payload is came
        return Made(
            None if same else list(entry.frames),
            done.ranges,
            done.state,
            done.dead_letters,
            chain.take_errors(),
            chain.invalid_utf8 - before,
        )
