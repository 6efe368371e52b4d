"""The brokers are gone for a while and come back, while an agent follows live logs."""

import os
from pathlib import Path

import pytest
from support.kafka import Broker
from support.kafka_flow import TOPIC, Flow, by_kcat, without_doubles
from support.numbered import FILES, Writer, check
from support.processes import Node, wait_for

SECONDS = float(os.environ.get("SHIPPER_E2E_OUTAGE", "10"))
"""The long run takes 120."""
ROUNDS = int(12 * SECONDS)
"""Ten a second, and a tenth of them before the outage, a tenth after it."""
EACH = 25 * ROUNDS
"""Lines of a file: 5,000 a second of all."""
MIB = 1024 * 1024


@pytest.mark.timeout(3600)
def test_an_agent_without_brokers_spools_what_is_written_in_flat_memory_and_ships_it_afterwards(
    tmp_path: Path, own_kafka: Broker
) -> None:
    flow = Flow(tmp_path, own_kafka, exactly_once=False)
    writer = Writer(flow.logs, EACH, 1, ROUNDS)
    flow.agent.start()
    writer.start()
    wait_for(lambda: writer.written >= EACH // 12 and held(own_kafka) > 0, "the first lines in the topic")
    own_kafka.stop()
    wait_for(lambda: writer.written >= EACH // 3, "the outage's first quarter", SECONDS + 60)
    early = resident(flow.agent)
    wait_for(lambda: writer.written >= EACH * 11 // 12, "the outage's end", 2 * SECONDS + 60)
    grown = resident(flow.agent) - early
    assert grown < 8 * MIB, f"grew by {grown / MIB:.1f} MiB from {early / MIB:.1f} MiB"
    wait_for(lambda: flow.spooled() >= EACH * 11 // 12 * FILES, "the spool to take what was written")
    own_kafka.start()
    writer.join()
    wait_for(lambda: held(own_kafka) >= EACH * FILES, "all lines in the topic", 120)
    assert flow.agent.stop() == 0, flow.agent.output()[-3000:]
    check((one.message for one in without_doubles(list(by_kcat(own_kafka.client, TOPIC)))), EACH, "after the outage")


def held(broker: Broker) -> int:
    """Records in the topic, double ones too."""
    ends = broker.client.kcat("-Q", *(f"-t{TOPIC}:{partition}:-1" for partition in range(3))).decode().splitlines()
    return sum(int(line.rsplit(" ", 1)[1]) for line in ends)


def resident(node: Node) -> int:
    """RSS in bytes."""
    status = Path(f"/proc/{node.process.pid}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) * 1024
