"""Kill -9, again and again, of an agent, of the broker that it ships to, and of the collector that reads from there."""

import os
import random
import time
from pathlib import Path

import pytest
from support.kafka import Broker
from support.kafka_flow import TOPIC, Flow, Shipped, by_kcat, without_doubles
from support.numbered import FILES, Writer, check
from support.processes import Node, wait_for

LINES = int(os.environ.get("SHIPPER_E2E_LINES", "30000"))
"""The long run takes 1,000,000."""
KILLS = int(os.environ.get("SHIPPER_E2E_KILLS", "2"))
"""Of each process; the long run takes 5."""
SEED = int(os.environ.get("SHIPPER_E2E_SEED", "0")) or random.randrange(1, 10**6)
_EACH = LINES // FILES


def ship_and_kill(flow: Flow) -> None:
    """Write all lines while agent, collector and broker are killed at random; return when all is quiet again.

    Nobody is killed before lines arrive again after the last kill, and there are always lines on their way.
    """
    dice = random.Random(SEED)
    writer = Writer(flow.logs, _EACH, SEED, rounds=100 * KILLS)
    victims: list[Node | Broker] = [flow.agent, flow.collector, flow.broker] * KILLS
    dice.shuffle(victims)
    writer.until = 0
    flow.collector.start()
    flow.agent.start()
    writer.start()
    for number, victim in enumerate(victims, 1):
        before = size(flow)
        writer.until = _EACH * number // len(victims)
        wait_for(lambda before=before: size(flow) > before, f"lines (seed {SEED})\n{said(flow)}", 120)  # type: ignore[misc]
        time.sleep(dice.uniform(0, 1))
        assert victim.running
        victim.kill()
        victim.start()
    writer.join()
    wait_for(lambda: arrived(flow), f"{LINES} lines (seed {SEED})\n{said(flow)}", 60 + LINES / 2000)
    for node in (flow.agent, flow.collector):
        wait_for(lambda node=node: node.up, "both to be up")  # type: ignore[misc]
        assert node.stop() == 0, said(flow)


def size(flow: Flow) -> int:
    """Bytes that the collector wrote."""
    return flow.out.stat().st_size if flow.out.exists() else 0


def arrived(flow: Flow) -> bool:
    """The collector wrote as many different records as there are lines."""
    if not flow.out.exists() or flow.out.read_bytes().count(b"\n") < _EACH * FILES:
        return False
    try:
        return len({one.identity for one in flow.collected()}) >= _EACH * FILES
    except ValueError:  # a line is being written
        return False


def said(flow: Flow) -> str:
    return f"agent: {flow.agent.output()[-3000:]}\ncollector: {flow.collector.output()[-3000:]}"


def check_all(shipped: list[Shipped]) -> None:
    """Each line once, in the order of its file; and the file is the key."""
    check((one.message for one in shipped), _EACH, f"seed {SEED}")
    assert all(one.key.endswith(f"/app-{one.message.split(' ', 1)[0]}.log") for one in shipped)


@pytest.mark.timeout(3600)
def test_every_record_is_there_once_and_in_order_while_agent_broker_and_collector_are_killed(
    tmp_path: Path, own_kafka: Broker
) -> None:
    """Exactly once into Kafka: in the topic, as another client sees it, and behind it."""
    flow = Flow(tmp_path, own_kafka, exactly_once=True)
    ship_and_kill(flow)
    check_all(list(by_kcat(own_kafka.client, TOPIC)))
    check_all(flow.collected())


@pytest.mark.timeout(3600)
def test_without_transactions_no_record_is_lost_and_its_headers_tell_a_double_one(
    tmp_path: Path, own_kafka: Broker
) -> None:
    flow = Flow(tmp_path, own_kafka, exactly_once=False)
    ship_and_kill(flow)
    in_topic = list(by_kcat(own_kafka.client, TOPIC))
    check_all(without_doubles(in_topic))
    assert sorted(flow.collected()) == sorted(in_topic)
