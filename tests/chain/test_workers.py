"""``workers: N``: chains in processes give what they give in this one, in order, whatever becomes of a process."""

import asyncio
import os
import random
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.bad_processors import Broken, Numbered, Obey, ObeyAll
from support.in_workers import ROOM, batch, ran, steps, working

from shipper.batch import Batch, Record
from shipper.chain.blame import blame
from shipper.chain.decode import records_of
from shipper.chain.keeper import AHEAD
from shipper.chain.line import Line, WorkerError
from shipper.chain.run import Chain
from shipper.errors import ConfigError
from shipper.processor import Processor
from shipper.spool.frame import decode
from shipper_processors.add_fields import AddFields
from shipper_processors.drop import Drop
from shipper_processors.parse_json import ParseJson


def children() -> set[int]:
    """The process ids of the children of this process: workers, and what fixtures of other tests keep running."""
    return set(map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()))


def decoded(draft: Any) -> list[Record]:
    """The records of a draft: how a number is spelled may depend on what a plan has seen before."""
    return records_of(decode(draft.stamp(b"s" * 16, 1)[0]))


async def outcomes(line: Line, batches: Sequence[Batch]) -> list[Any]:
    made = await asyncio.gather(*(ran(line, each) for each in batches))
    return [
        (
            [(decoded(draft), draft.meta, draft.records) for draft in one.frames or ()],
            one.ranges,
            one.state,
            one.dead_letters,
            one.kept_errors,
            one.invalid_utf8,
        )
        for one in made
    ]


def in_process(processors: Sequence[Processor], batches: Sequence[Batch]) -> list[Any]:
    from shipper.pack import entry_of

    chain = Chain(steps(processors), "app", lambda: ROOM)
    found = []
    for each in batches:
        before = chain.invalid_utf8
        done = chain.run(each)
        entry = entry_of(done, {"source": "app"}, 1 << 20)
        drafts: Any = entry.frames
        found.append(
            (
                [(decoded(draft), draft.meta, draft.records) for draft in drafts],
                done.ranges,
                done.state,
                done.dead_letters,
                chain.take_errors(),
                chain.invalid_utf8 - before,
            )
        )
    chain.teardown()
    return found


LINES = st.sampled_from(
    [
        "plain",
        "",
        "é",
        '{"level":"debug"}',
        '{"level":"info","n":1e400}',
        '{"n":123456789012345678901234567890}',
        "raise",
    ]
)
CHAINS: Any = st.lists(
    st.sampled_from(
        [
            ParseJson(),
            ParseJson(on_error="dead_letter"),
            Drop(where="level == 'debug'"),
            AddFields(fields={"team": "x"}),
            AddFields(fields={"odd": True}, where="exists(n)"),
            Obey(where="exists(message)"),
            ObeyAll(where="exists(message)"),
        ]
    ),
    min_size=1,
    max_size=4,
)


@settings(max_examples=8)
@given(CHAINS, st.lists(st.lists(LINES, max_size=12), max_size=12))
def test_what_comes_out_of_workers_is_what_comes_out_in_process(
    processors: list[Processor], batches: list[list[str]]
) -> None:
    async def compare() -> None:
        async with working(2, *processors) as line:
            found = await outcomes(line, [batch(lines) for lines in batches])
        assert found == in_process(processors, [batch(lines) for lines in batches])

    asyncio.run(compare())


async def test_batches_that_no_connection_holds_at_once_come_through() -> None:
    """In both directions: lines that nothing compresses, in frames of a MiB at most."""
    lines = [random.Random(number).randbytes(6000).hex() for number in range(300)]
    async with working(1, ParseJson(on_error="keep")) as line:
        found = await outcomes(line, [batch(lines)] * 6)
    assert found == in_process([ParseJson(on_error="keep")], [batch(lines)] * 6)
    assert len(found[0][0]) > 1


async def test_a_chain_with_a_state_sees_its_batches_in_order_in_one_worker() -> None:
    async with working(3, Numbered()) as line:
        made = await asyncio.gather(*(ran(line, batch(["a", "b"])) for _ in range(10)))
    assert [one.state for one in made] == [{"processor/app/p0": b"%d" % (2 * n)} for n in range(1, 11)]


async def test_a_worker_that_is_killed_loses_and_doubles_nothing() -> None:
    """Not even a count: what it had is run again before what waits, from the state that came with the last answer."""
    others = children()
    async with working(2, Numbered()) as line:
        results = []
        for round_ in range(20):
            waiting = [ran(line, batch(["a"] * 50)) for _ in range(AHEAD + 2)]
            if round_ % 5 == 0:
                for child in children() - others:
                    os.kill(child, signal.SIGKILL)
            results += await asyncio.gather(*waiting)
    assert [one.state["processor/app/p0"] for one in results] == [
        b"%d" % (50 * n) for n in range(1, 1 + 20 * (AHEAD + 2))
    ]
    assert not any(one.dead_letters for one in results)


@pytest.mark.parametrize("processor", [Obey(), ObeyAll(), Numbered()], ids=lambda each: type(each).__name__)
async def test_a_record_that_its_worker_does_not_survive_is_set_aside(processor: Processor) -> None:
    lines = [f"line {number}" for number in range(20)]
    bad = [*lines[:7], "exit", *lines[7:], "segfault"]
    async with working(2, processor) as line:
        made = await asyncio.gather(*(ran(line, each) for each in map(batch, (lines, bad, lines))))
    assert [len(one.dead_letters) for one in made] == [0, 2, 0]
    letters = made[1].dead_letters
    assert [(letter.raw, letter.index) for letter in letters] == [(b"exit", 7), (b"segfault", 21)]
    assert letters[0].processor == "worker"
    assert "its worker process " in letters[0].error
    assert [(span.read, span.kept, span.failed) for span in made[1].ranges] == [(22, 20, 2)]
    if isinstance(processor, Numbered):
        assert [one.state["processor/app/p0"] for one in made] == [b"20", b"40", b"60"]


async def test_a_chain_that_cannot_go_on_fails_its_batch() -> None:
    async with working(1, Broken()) as line:
        await ran(line, batch(["a"]))
        with pytest.raises(WorkerError, match="RuntimeError: no state"):
            await ran(line, batch(["break"]))


class Local:
    """A place for a class that no other process can import."""

    @staticmethod
    def make() -> Processor:
        class Inner(Processor):
            def process(self, record: Record) -> Record:
                return record

        return Inner()


async def test_workers_that_cannot_be_started_are_a_config_error() -> None:
    with pytest.raises(ConfigError, match="worker 0 of 2 cannot be started"):
        async with working(2, ParseJson(), Local.make()) as line:
            await ran(line, batch(["a"]))


@given(st.integers(1, 200), st.data())
def test_the_record_to_blame_is_found_in_few_tries(size: int, data: st.DataObject) -> None:
    guilty = data.draw(st.sets(st.integers(0, size - 1), min_size=1))
    tries = 0

    async def dies(first: int, end: int) -> bool:
        nonlocal tries
        tries += 1
        return any(first <= record < end for record in guilty)

    record, alone = asyncio.run(blame(size, dies))
    assert record == min(guilty)
    assert alone
    assert tries <= size.bit_length() + 1


async def test_nobody_is_to_blame_for_what_happens_to_no_part() -> None:
    async def dies(first: int, end: int) -> bool:
        return False

    assert await blame(100, dies) == (99, False)
