"""Readiness judges by bytes and positions, not by what a task says of itself."""

import asyncio
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.until import until

from shipper import readiness as readiness_module
from shipper.admin import Admin
from shipper.metrics import Registry
from shipper.readiness import FULL, HALF_LINES, STALL, Readiness


class _Pipeline:
    """The facts: a clock, one sink's backlog and cursor, the spool's fill."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.pending = 0
        self.cursor = 0
        self.fill = 0.0
        self.registry = Registry()
        self.blocked_by: str | None = None
        self.readiness = Readiness(
            self.registry, spool_fill=lambda: self.fill, blocked_by=lambda: self.blocked_by, clock=lambda: self.now
        )
        self.readiness.watch("sink", "central", lambda: self.pending, lambda: self.cursor)

    def after(self, seconds: float) -> tuple[bool, list[str]]:
        self.now += seconds
        ready, shown = self.readiness.check()
        assert ready == (not shown["reasons"]) == bool(self.registry.value("shipper_ready"))
        return ready, shown["reasons"]


@pytest.fixture
def pipeline() -> _Pipeline:
    return _Pipeline()


def test_it_is_ready_when_nothing_waits_however_long(pipeline: _Pipeline) -> None:
    assert pipeline.after(0) == (True, [])
    assert pipeline.after(1e6) == (True, [])


def test_it_is_red_when_bytes_wait_and_nothing_was_acknowledged_for_a_while(pipeline: _Pipeline) -> None:
    pipeline.pending = 4096
    assert pipeline.after(0)[0]
    assert pipeline.after(STALL - 1)[0]
    assert pipeline.after(1) == (False, ["sink central: 4096 bytes wait and none was acknowledged for 30 s"])


def test_a_spool_without_room_is_red_and_says_what_there_is_no_room_for(pipeline: _Pipeline) -> None:
    """A disk that others filled is no full spool."""
    pipeline.blocked_by, pipeline.fill = "min_free", 1.0
    assert pipeline.after(0) == (
        False,
        ["the spool takes nothing more and the sources do not read: no room (min_free)"],
    )
    pipeline.blocked_by, pipeline.fill = None, 0.1
    assert pipeline.after(0)[0]


def test_one_acknowledgement_makes_it_ready_again(pipeline: _Pipeline) -> None:
    pipeline.pending = 4096
    pipeline.after(0)
    assert not pipeline.after(STALL)[0]
    pipeline.cursor += 1
    assert pipeline.after(1)[0]
    assert pipeline.after(STALL - 1)[0]
    assert not pipeline.after(1)[0]


def test_a_busy_pipeline_that_never_catches_up_is_ready_as_long_as_it_moves(pipeline: _Pipeline) -> None:
    for _ in range(100):
        pipeline.pending += 1000
        pipeline.cursor += 1
        assert pipeline.after(STALL - 1)[0]


def test_bytes_that_came_after_a_long_quiet_spell_are_given_their_time(pipeline: _Pipeline) -> None:
    """Also when nobody looked for long: a stopped ticker or a suspended machine must not make it red by itself."""
    pipeline.after(0)
    pipeline.pending = 1
    assert pipeline.after(10 * STALL)[0]
    assert not pipeline.after(STALL)[0]


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0.1, 60), st.integers(0, 3), st.booleans()), max_size=40))
def test_it_is_red_only_after_a_stall_that_was_seen_whole(steps: list[tuple[float, int, bool]]) -> None:
    pipeline = _Pipeline()
    pipeline.after(0)
    quiet_since = pipeline.now
    for seconds, pending, moved in steps:
        pipeline.pending = pending
        if moved:
            pipeline.cursor += 1
        ready, _ = pipeline.after(seconds)
        if moved or not pending:
            quiet_since = pipeline.now
            assert ready
        if not ready:
            assert pipeline.now - quiet_since >= STALL


def test_every_sink_and_source_is_judged_by_itself(pipeline: _Pipeline) -> None:
    pipeline.readiness.watch("source", "app", lambda: 2_000_000, lambda: 0)
    pipeline.pending = 1
    pipeline.after(0)
    pipeline.cursor = 1
    ready, reasons = pipeline.after(STALL)
    assert (ready, reasons) == (False, ["source app: 2000000 bytes wait and none was read for 30 s"])
    pipeline.readiness.forget("source", "app")
    assert pipeline.after(0)[0]


def test_a_file_that_ends_in_half_a_line_is_no_stall(pipeline: _Pipeline) -> None:
    """Nobody knows when its newline comes, and the bytes before it are not read until then."""
    pipeline.readiness.watch("source", "app", lambda: HALF_LINES, lambda: 0)
    pipeline.after(0)
    assert pipeline.after(100 * STALL)[0]


def test_it_is_red_from_four_fifths_of_the_spool_on(pipeline: _Pipeline) -> None:
    pipeline.fill = FULL - 0.001
    assert pipeline.after(0)[0]
    pipeline.fill = FULL
    assert pipeline.after(0) == (False, ["the spool is 80% full; at 100% the sources stop reading"])
    pipeline.fill = 0.1
    assert pipeline.after(0)[0]


def test_it_is_red_while_a_source_is_dead(pipeline: _Pipeline) -> None:
    pipeline.readiness.source_died("app", "permission denied")
    assert pipeline.after(0) == (False, ["source app stopped: permission denied"])
    pipeline.readiness.source_runs("app")
    assert pipeline.after(0)[0]
    pipeline.readiness.source_died("app", "again")
    pipeline.readiness.forget("source", "app")
    assert pipeline.after(0)[0]


def test_the_numbers_behind_the_answer_are_shown(pipeline: _Pipeline) -> None:
    pipeline.pending, pipeline.fill = 5, 0.25
    pipeline.after(0)
    pipeline.now += 2
    assert pipeline.readiness.check()[1] == {
        "reasons": [],
        "spool_fill": 0.25,
        "sinks": {"central": {"pending_bytes": 5, "stalled_seconds": 2.0}},
    }


def test_what_a_sink_says_of_itself_is_shown_and_not_believed(pipeline: _Pipeline) -> None:
    pipeline.readiness.watch("sink", "kafka", lambda: 5, lambda: 7, lambda: "connected")
    pipeline.after(0)
    pipeline.now += STALL
    ready, shown = pipeline.readiness.check()
    assert not ready
    assert shown["reasons"] == ["sink kafka: 5 bytes wait and none was acknowledged for 30 s; it is connected"]
    assert shown["sinks"]["kafka"]["state"] == "connected"


def test_the_log_says_when_it_turns_red_and_when_it_is_ready_again(
    pipeline: _Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline.after(0)
    for fill in (0.9, 0.9, 0.9, 0.1, 0.1, 0.9):
        pipeline.fill = fill
        pipeline.after(1)
    events = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [event["msg"] for event in events] == ["not ready", "ready again", "not ready"]
    assert events[0]["reasons"] == ["the spool is 90% full; at 100% the sources stop reading"]


async def test_a_stuck_pipeline_turns_it_red_without_anybody_asking(monkeypatch: pytest.MonkeyPatch) -> None:
    """The delivery hangs for ever in a send; its own idea of itself stays "connected". The ticker sees it."""
    monkeypatch.setattr(readiness_module, "TICK", 0.01)
    pipeline = _Pipeline()
    pipeline.pending = 1
    hung = asyncio.create_task(asyncio.Event().wait())
    ticker = asyncio.create_task(pipeline.readiness.run())
    server = Admin("127.0.0.1:0", pipeline.registry, pipeline.readiness.check, dict, lambda: True)
    await server.start()
    await until(lambda: pipeline.registry.value("shipper_ready") == 1)
    pipeline.now += STALL
    await until(lambda: pipeline.registry.value("shipper_ready") == 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(b"GET /readyz HTTP/1.1\r\n\r\n")
    answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"sink central: 1 bytes wait" in answer
    writer.close()
    await server.close()
    for task in (hung, ticker):
        task.cancel()
    await asyncio.gather(hung, ticker, return_exceptions=True)


async def test_a_probe_that_raises_is_red_and_does_not_end_the_ticker(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(readiness_module, "TICK", 0.01)
    pipeline = _Pipeline()
    pipeline.readiness.watch("sink", "broken", lambda: 1 // 0, lambda: 0)
    ticker = asyncio.create_task(pipeline.readiness.run())
    await until(lambda: "readiness cannot be judged" in capsys.readouterr().err)
    assert pipeline.registry.value("shipper_ready") == 0
    pipeline.readiness.forget("sink", "broken")
    await until(lambda: pipeline.registry.value("shipper_ready") == 1)
    ticker.cancel()
    await asyncio.gather(ticker, return_exceptions=True)


def test_a_batch_that_hangs_in_the_chain_turns_it_red() -> None:
    """However small it is: nothing of it shows in a source or in the spool."""
    pipeline = _Pipeline()
    in_hand = [1]
    pipeline.readiness.watch("chain", "app", lambda: in_hand[0], lambda: 7)
    assert pipeline.readiness.check()[0]
    pipeline.now += STALL
    ready, shown = pipeline.readiness.check()
    assert not ready
    assert shown["reasons"] == ["chain app: 1 batches wait and none was finished for 30 s"]
    in_hand[0] = 0
    assert pipeline.readiness.check()[0]


# The watchdog's question


class _Hand:
    """Something that this process has in hand."""

    def __init__(self, readiness: Readiness, name: str) -> None:
        self.busy = True
        self.position = 0
        readiness.guard("chain", name, lambda: self.busy, lambda: self.position)


def test_what_waits_for_others_leaves_it_alive_however_red_it_is(pipeline: _Pipeline) -> None:
    """Bytes that wait for a sink that is away, and a full spool: a restart helps neither."""
    pipeline.pending, pipeline.fill = 4096, 1.0
    for _ in range(3):
        assert not pipeline.after(STALL)[0]
        assert pipeline.readiness.alive(1.0)


def test_what_is_in_hand_and_stands_still_for_too_long_is_no_life(
    pipeline: _Pipeline, capsys: pytest.CaptureFixture[str]
) -> None:
    hand = _Hand(pipeline.readiness, "app")
    alive = pipeline.readiness.alive
    assert alive(10)
    pipeline.now += 9.9
    assert alive(10)
    pipeline.now += 0.1
    assert not alive(10)
    assert "chain app: a processor has not returned for 10 s" in capsys.readouterr().err
    hand.position += 1
    assert alive(10)
    pipeline.now += 10
    hand.busy = False
    assert alive(10)


def test_each_thing_in_hand_has_its_own_time(pipeline: _Pipeline) -> None:
    """Several that are slow by turns are no hang; one that hangs is not covered up by another that moves."""
    slow, other = _Hand(pipeline.readiness, "slow"), _Hand(pipeline.readiness, "other")
    for turn in range(20):
        moved = (slow, other)[turn % 2]
        moved.position += 1
        pipeline.now += 4
        assert pipeline.readiness.alive(10)
    for _ in range(3):
        other.position += 1
        pipeline.now += 4
        alive = pipeline.readiness.alive(10)
    assert not alive
