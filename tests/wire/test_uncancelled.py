"""An operation of gRPC's core that goes on when whoever waits for it is cancelled."""

import asyncio

import pytest

from shipper.wire.uncancelled import uncancelled


async def test_it_gives_what_the_operation_returns() -> None:
    async def operation() -> int:
        await asyncio.sleep(0.001)
        await asyncio.sleep(0.001)
        return 7

    assert await uncancelled(operation()) == 7


async def test_an_operation_that_is_over_at_once_needs_no_turn_of_the_loop() -> None:
    async def operation() -> int:
        return 7

    assert uncancelled(operation()).done()


async def test_it_raises_what_the_operation_raises() -> None:
    async def operation() -> int:
        await asyncio.sleep(0.001)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await uncancelled(operation())


async def test_the_operation_ends_by_itself_when_the_one_who_waits_is_cancelled() -> None:
    ended = []
    result = asyncio.get_running_loop().create_future()

    async def operation() -> int:
        try:
            value: int = await result
        finally:
            ended.append(result.cancelled())
        return value

    async def waits() -> int:
        return await uncancelled(operation())

    waiting = asyncio.ensure_future(waits())
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled()
    assert not ended
    result.set_result(7)
    await asyncio.sleep(0)
    assert ended == [False]


async def test_an_operation_that_is_cancelled_from_within_cancels_the_one_who_waits() -> None:
    async def operation() -> int:
        await asyncio.sleep(0.001)
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await uncancelled(operation())
