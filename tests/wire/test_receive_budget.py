"""The collector's receive budget."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st
from support.wire import DEADLINE

from shipper.wire.budget import LARGEST, SMALLEST, ReceiveBudget, Share


async def test_a_connection_that_holds_something_waits_while_the_budget_is_used_up() -> None:
    budget = ReceiveBudget(100)
    share = Share(budget)
    share.use(100)
    waiting = asyncio.ensure_future(share.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    share.release(1)
    await waiting
    assert not budget.waiting


async def test_a_connection_that_holds_nothing_may_read_one_message_whoever_uses_the_budget_up() -> None:
    budget = ReceiveBudget(100)
    greedy, quiet = Share(budget), Share(budget)
    greedy.use(1000)
    await asyncio.wait_for(quiet.room(), DEADLINE)
    quiet.use(10)
    waiting = asyncio.ensure_future(quiet.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    quiet.release(10)
    await waiting


async def test_a_connection_that_ends_while_it_waits_leaves_nothing_behind() -> None:
    budget = ReceiveBudget(100)
    share = Share(budget)
    share.use(100)
    waiting = asyncio.ensure_future(share.room())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    share.leave()
    share.release(100)
    assert (budget.used, budget.connected, budget.busy, budget.waiting) == (0, 0, 0, {})


@given(
    st.integers(1, 5_000),
    st.lists(st.tuples(st.integers(0, 5), st.integers(1, 1000), st.booleans()), max_size=200),
)
def test_whoever_is_greedy_nobody_starves_and_no_more_is_held_than_the_budget_and_a_message_each(
    limit: int, steps: list[tuple[int, int, bool]]
) -> None:
    """Each step lets one of six connections read a message as soon as it may, or makes its oldest one durable."""
    asyncio.run(_interleave(limit, steps))


async def _interleave(limit: int, steps: list[tuple[int, int, bool]]) -> None:
    budget = ReceiveBudget(limit)
    shares = [Share(budget) for _ in range(6)]
    held: list[list[int]] = [[] for _ in shares]
    reading: dict[int, asyncio.Task[None]] = {}
    for who, size, durable in steps:
        if durable and held[who]:
            shares[who].release(held[who].pop(0))
        elif who not in reading:
            reading[who] = asyncio.ensure_future(_read(shares[who], held[who], size))
        for _ in range(5):
            await asyncio.sleep(0)
        reading = {at: task for at, task in reading.items() if not task.done()}
        assert budget.used == sum(map(sum, held))
        assert budget.used < limit + 6 * 1000
        assert all(held[at] for at in reading), "a connection that holds nothing waits"
        assert not reading or budget.full, "a connection waits though there is room"
    for messages, share in zip(held, shares, strict=True):
        while messages:
            share.release(messages.pop(0))
        await asyncio.sleep(0)
    await asyncio.gather(*reading.values())


async def _read(share: Share, held: list[int], size: int) -> None:
    await share.room()
    share.use(size)
    held.append(size)


async def test_a_single_sender_gets_the_largest_window() -> None:
    budget = ReceiveBudget()
    share = Share(budget)
    assert share.window == LARGEST
    share.busy = True
    assert share.window == LARGEST


async def test_busy_senders_share_what_idle_ones_do_not_use() -> None:
    budget = ReceiveBudget(limit=64 * 1024 * 1024)
    shares = [Share(budget) for _ in range(500)]
    for share in shares[:32]:
        share.busy = True
        share.busy = True
    assert shares[0].window == 2 * 1024 * 1024
    assert shares[32].window == 64 * 1024 * 1024 // 500
    for share in shares[:31]:
        share.leave()
    assert shares[31].window == LARGEST
    assert shares[32].window == 64 * 1024 * 1024 // 469


async def test_a_window_is_never_too_small_to_fill_a_message() -> None:
    """The windows of 1,000 busy senders fit into the budget; of more, each still has a message on its way."""
    budget = ReceiveBudget()
    budget.connected = budget.busy = 1000
    assert 1000 * budget.window(busy=True) <= budget.limit
    budget.connected = budget.busy = 100_000
    assert budget.window(busy=True) == budget.window(busy=False) == SMALLEST
