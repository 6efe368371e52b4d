"""The collector's receive budget."""

import asyncio

from shipper.wire.budget import LARGEST, SMALLEST, ReceiveBudget


async def test_nobody_reads_while_the_budget_is_used_up() -> None:
    budget = ReceiveBudget(100)
    budget.use(100)
    waiting = asyncio.ensure_future(budget.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    budget.release(1)
    await waiting


async def test_a_single_sender_gets_the_largest_window() -> None:
    budget = ReceiveBudget()
    budget.connected = budget.busy = 1
    assert budget.window(busy=True) == budget.window(busy=False) == LARGEST


async def test_busy_senders_share_what_idle_ones_do_not_use() -> None:
    budget = ReceiveBudget(limit=64 * 1024 * 1024)
    budget.connected, budget.busy = 500, 32
    assert budget.window(busy=True) == 2 * 1024 * 1024
    assert budget.window(busy=False) == 64 * 1024 * 1024 // 500


async def test_a_window_is_never_too_small_to_fill_a_message() -> None:
    budget = ReceiveBudget()
    budget.connected = budget.busy = 100_000
    assert budget.window(busy=True) == budget.window(busy=False) == SMALLEST
