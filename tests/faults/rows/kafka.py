"""Exactly once into Kafka, while everybody is killed (`tests/e2e/test_kafka_kills.py` looks at keys and headers)."""

import time
from collections.abc import Sequence
from typing import Final

from faults.fleet import PATIENCE
from faults.load import Load
from faults.oracle import Judge, ledger_of
from faults.row import Outcome, Row, Run
from support.kafka import Broker
from support.kafka_flow import TOPIC, Flow, by_kcat
from support.kafka_jars import fetch, missing
from support.processes import Node, wait_for

NAMES: Final = [f"app{number}" for number in range(5)]


def kills(run: Run) -> Outcome:
    """Files, agent, topic with transactions, collector, file; all three processes are killed in random order."""
    fetch()
    broker = Broker(run.place / "kafka")
    broker.start()
    try:
        return _kills(run, broker)
    finally:
        broker.kill()


def _kills(run: Run, broker: Broker) -> Outcome:
    outcome = Outcome(run.injections, 0, 0)
    flow = Flow(run.place, broker, exactly_once=True)
    load = Load(flow.logs, run.dice, NAMES, rate=500)
    nodes: list[Node | Broker] = [flow.agent, flow.collector, broker]
    flow.collector.start()
    flow.agent.start()
    load.start()
    for victim in _in_turn(nodes, run):
        before = _size(flow)
        begin = time.monotonic()
        wait_for(lambda: _size(flow) > before, lambda: f"lines\n{_said(flow)}", PATIENCE)  # noqa: B023
        outcome.recover.append(time.monotonic() - begin)
        time.sleep(run.dice.uniform(0, 1))
        outcome.fired += victim.running
        victim.kill()
        victim.start()
    load.finish()
    wait_for(lambda: _lines(flow) >= load.total, lambda: f"{load.total} lines\n{_said(flow)}", PATIENCE)
    for node in (flow.agent, flow.collector):
        wait_for(lambda node=node: node.up, "both to be up", PATIENCE)  # type: ignore[misc]
        assert node.stop() == 0, _said(flow)
    in_topic = Judge()
    in_topic.hear(one.message for one in by_kcat(broker.client, TOPIC))
    behind = Judge()
    behind.hear(one.message for one in flow.collected())
    behind.give(outcome, load.written)
    outcome.lost += len(in_topic.lost(load.written))
    outcome.doubled += in_topic.doubled
    outcome.altered += in_topic.altered
    outcome.misordered += in_topic.misordered
    outcome.notes.append(f"in the topic, as another client reads it: {in_topic.seen} lines; behind it: {behind.seen}")
    outcome.ledger = ledger_of(run.place / "agent", run.place / "collector")
    return outcome


def _in_turn(nodes: Sequence[Node | Broker], run: Run) -> list[Node | Broker]:
    """Each as often as the others, in random order."""
    victims = [nodes[number % len(nodes)] for number in range(run.injections)]
    run.dice.shuffle(victims)
    return victims


def _size(flow: Flow) -> int:
    return flow.out.stat().st_size if flow.out.exists() else 0


def _lines(flow: Flow) -> int:
    return flow.out.read_bytes().count(b"\n") if flow.out.exists() else 0


def _said(flow: Flow) -> str:
    return f"agent: {flow.agent.output()[-2000:]}\ncollector: {flow.collector.output()[-2000:]}"


def no_broker() -> str | None:
    """Why no broker can run here."""
    lacks = missing()
    return f"this machine has no {' and no '.join(lacks)}" if lacks else None


ROWS = [
    Row(
        "Kafka: agent, broker and collector killed",
        "With `exactly_once`, the agent, the broker and the collector that reads the topic are killed in random order.",
        "once",
        kills,
        short=3,
        long=60,
        needs=no_broker,
    ),
]
