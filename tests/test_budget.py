"""How much may be held that is not durable yet."""

import asyncio

from shipper.budget import Budget


async def test_who_takes_more_waits_until_less_than_the_limit_is_held() -> None:
    budget = Budget(100)
    budget.add(99)
    await budget.wait()
    budget.add(51)
    waiting = asyncio.ensure_future(budget.wait())
    budget.free(50)
    await asyncio.sleep(0)
    assert not waiting.done(), "a hundred are held"
    budget.free(1)
    async with asyncio.timeout(20):
        await waiting
