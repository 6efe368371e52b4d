"""Which file is read before which, and what a restart keeps of it."""

import os
from pathlib import Path

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from support.following import append, following, numbered, source
from support.intake import MemoryIntake

from shipper.sources.file.identity import NOTHING, decode_position
from shipper.sources.file.order import Order
from shipper.sources.file.tail import Tail

LOG = "/var/log/app.log"


def read_order(order: Order, tails: list[Tail]) -> list[Tail]:
    """The order in which the tails of one line are read."""
    found = []
    left = list(tails)
    while left:
        first = order.older(left[0]) or left[0]
        found.append(first)
        left.remove(first)
        order.done(first)
    return found


def again(tails: list[Tail]) -> tuple[Order, list[Tail]]:
    """What a restart makes of them; the spool keeps no order."""
    resumed = [Tail.resumed({}, tail.generation, tail.position()) for tail in reversed(tails)]
    order = Order()
    order.resume(resumed)
    return order, resumed


@given(st.lists(st.integers(0, 3), max_size=30))
def test_the_order_outlasts_restarts(events: list[int]) -> None:
    """Files that are new, that left and are found later, that were rotated unseen, in any sequence."""
    order = Order()
    tails: list[Tail] = []
    at = 0
    for event in events:
        tail = Tail(LOG, {})
        match event:
            case 0 | 1:  # the next file under the path; what was there stands elsewhere
                for other in tails:
                    other.linked = False
                tail.linked = True
                order.add(tail, LOG)
                tails.append(tail)
                at = len(tails) - 1
            case 2:
                order.add(tail, LOG, rotated=True)
                at = len(tails) - 1 if tails and tails[-1].linked else len(tails)
                tails.insert(at, tail)
            case 3:
                order, resumed = again(tails)
                linked = [tail.linked for tail in tails]
                by_generation = {tail.generation: tail for tail in resumed}
                tails = [by_generation[tail.generation] for tail in tails]
                for tail, was in zip(tails, linked, strict=True):
                    tail.linked = was
    assert read_order(order, tails) == tails
    order, resumed = again(tails)
    assert [tail.generation for tail in read_order(order, resumed)] == [tail.generation for tail in tails]


def test_a_renamed_file_keeps_its_place() -> None:
    """Its position names the path whose order it belongs to, where that is not its own."""
    order = Order()
    older, newer = Tail(LOG, {}), Tail(LOG, {})
    order.add(older, LOG)
    order.add(newer, LOG)
    older.name(LOG + ".1", {})
    assert older.position().line == LOG.encode()
    assert newer.position().line == b""
    order, resumed = again([older, newer])
    assert [tail.path for tail in read_order(order, resumed)] == [LOG + ".1", LOG]


async def test_rename_rotation_order_of_known_files_is_kept_while_down(tmp_path: Path) -> None:
    """Generations that were known and not read are read in their order after a restart, whatever they are called by
    then; their times of modification say nothing.
    """
    log = tmp_path / "app.log"
    intake = MemoryIntake(max_bytes=4096)
    made = source(tmp_path, "app.log*")
    append(log, *numbered(0, 300))
    async with following(made, intake):
        await intake.have(300)
        for number in range(1, 4):
            log.rename(f"{log}.{9 - number}")
            append(log, *numbered(300 * number, 300 * number + 300))
            await intake.have(300 * number + 300)
    state = intake.durable_state()
    assert len({decode_position(key, value)[1].born for key, value in state.items()}) == 4
    again = MemoryIntake(max_bytes=4096, state=_unread(state))
    for number in range(1, 4):
        os.utime(f"{log}.{9 - number}", (10**9 - number, 10**9 - number))
    async with following(source(tmp_path, "app.log*"), again):
        await again.records_are(*numbered(0, 1200))


def _unread(state: dict[str, bytes]) -> dict[str, bytes]:
    """The same files, nothing read of them; in an order of no meaning."""
    return {
        key: msgspec.msgpack.encode(
            msgspec.structs.replace(decode_position(key, state[key])[1], offset=0, tail=NOTHING)
        )
        for key in sorted(state)
    }
