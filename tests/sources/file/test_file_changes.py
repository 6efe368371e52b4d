"""State that waits for a batch: everything is carried once, and a loss never without the state that forgets it."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from shipper.batch import Loss
from shipper.sources.file import changes as module
from shipper.sources.file.changes import Carried, Changes

GENERATIONS = [number.to_bytes(16, "big") for number in range(module._AT_ONCE + 40)]


class ChangesMachine(RuleBasedStateMachine):
    """Files come, move, and are forgotten with what they lost; batches carry it, or are not taken."""

    def __init__(self) -> None:
        super().__init__()
        self.changes = Changes()
        self.wanted: dict[str, bytes | None] = {}
        self.durable: dict[str, bytes | None] = {}
        self.lost: list[Loss] = []
        self.counted: list[Loss] = []
        self.gone: set[bytes] = set()
        self.clock = 0

    @rule(first=st.integers(0, len(GENERATIONS) - 1), count=st.integers(1, 300))
    def move(self, first: int, count: int) -> None:
        """Positions of files that are still there have to be kept."""
        self.clock += 1
        some = [each for each in GENERATIONS[first : first + count] if each not in self.gone]
        state: dict[str, bytes | None] = {each.hex(): str(self.clock).encode() for each in some}
        self.wanted |= state
        self.changes.add(state)

    @rule(at=st.integers(0, len(GENERATIONS) - 1), sizes=st.lists(st.integers(1, 9), max_size=3))
    def forget(self, at: int, sizes: list[int]) -> None:
        """A file is gone, with bytes unread."""
        generation = GENERATIONS[at]
        if generation in self.gone:
            return
        self.gone.add(generation)
        losses = [Loss("/a.log", generation, 0, size, "vanished") for size in sizes]
        self.lost += losses
        self.wanted[generation.hex()] = None
        self.changes.add({generation.hex(): None}, losses)
        assert self.changes.urgent or not losses

    @rule()
    def carry(self) -> None:
        """A batch is taken."""
        carried = self.changes.some()
        self._written(carried)
        self.changes.carried(carried)

    @rule(at=st.integers(0, len(GENERATIONS) - 1))
    def carry_while_it_moves(self, at: int) -> None:
        """Something else changes while the batch is on its way."""
        carried = self.changes.some()
        self.forget(at, [4])
        self._written(carried)
        self.changes.carried(carried)

    @rule()
    def carry_in_vain(self) -> None:
        """Nothing was read, so there was no batch."""
        self.changes.some()

    @invariant()
    def nothing_is_carried_twice(self) -> None:
        """Neither more often than it was lost."""
        assert all(self.counted.count(loss) <= self.lost.count(loss) for loss in self.counted)

    def teardown(self) -> None:
        """In the end all is durable."""
        while self.changes.waiting:
            self.carry()
        assert self.durable == self.wanted
        assert sorted(self.counted, key=repr) == sorted(self.lost, key=repr)
        assert not self.changes.urgent

    def _written(self, carried: Carried) -> None:
        assert len(carried.state) <= module._AT_ONCE
        self.durable |= carried.state
        self.counted += carried.losses
        for loss in carried.losses:
            assert self.durable[loss.generation.hex()] is None, "counted, and met again after a crash"


TestChanges = ChangesMachine.TestCase
TestChanges.settings = settings(max_examples=60, deadline=None)
