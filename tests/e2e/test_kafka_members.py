"""Two collectors, members of one group, are killed with -9 in turn while records come: none is lost."""

import asyncio
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest
from support.kafka_client import Kafka
from support.kafka_producer import fill, producing
from support.processes import Node, records, wait_for

KILLS = int(os.environ.get("SHIPPER_E2E_KILLS", "2"))
"""Of each member; the long run takes 5."""
SEED = int(os.environ.get("SHIPPER_E2E_SEED", "0")) or random.randrange(1, 10**6)
PARTITIONS = 4


class Read(NamedTuple):
    """A record as a member wrote it."""

    partition: int
    offset: int
    message: str


class Members:
    """Two collectors that read one topic, and what they have read."""

    def __init__(self, folder: Path, kafka: Kafka) -> None:
        self.kafka = kafka
        self.topic = asyncio.run(kafka.create(partitions=PARTITIONS))
        self._outs = [folder / f"{name}.ndjson" for name in ("one", "two")]
        self.nodes = [
            Node(
                folder,
                out.stem,
                f"data_dir: {folder}/{out.stem}-data\n"
                f"sources: {{in: {{type: kafka, brokers: ['{kafka.address}'], group: '{self.topic}',\n"
                f"  topics: ['{self.topic}'], session_timeout: 2s, offset_field: offset}}}}\n"
                f"sinks: {{out: {{type: file, path: '{out}', identity: true}}}}\n",
            )
            for out in self._outs
        ]

    def read(self) -> list[list[Read]]:
        """By member, in the order of their files."""
        return [
            [Read(int(str(r["partition"])), int(str(r["offset"])), str(r["message"])) for r in records(out)]
            if out.exists()
            else []
            for out in self._outs
        ]

    def places(self) -> set[tuple[int, int]]:
        """Partition and offset of what was read."""
        try:
            return {(one.partition, one.offset) for each in self.read() for one in each}
        except ValueError:  # a line is being written
            return set()

    def said(self) -> str:
        return "\n".join(node.output()[-3000:] for node in self.nodes)


async def write(members: Members, done: asyncio.Event) -> int:
    """Write numbered records to all partitions until it is enough; how many to each."""
    count = 0
    async with producing(members.kafka) as producer:
        while not done.is_set():
            for partition in range(PARTITIONS):
                await fill(producer, members.topic, partition, *(b"%d" % at for at in range(count, count + 20)))
            count += 20
            await asyncio.sleep(0.05)  # a load that the tests beside this one survive
    return count


@pytest.mark.timeout(600)
def test_members_that_are_killed_lose_nothing_and_doubles_are_known_by_their_offset(
    tmp_path: Path, kafka: Kafka
) -> None:
    """What comes twice was read by both: by the one that died, and by the one that took over. Never twice by one."""
    members = Members(tmp_path, kafka)
    for node in members.nodes:
        node.start()
    count = asyncio.run(killed_under_load(members))
    everything = {(partition, at) for partition in range(PARTITIONS) for at in range(count)}
    wait_for(lambda: members.places() == everything, f"all records (seed {SEED})\n{members.said()}", 120)
    for node in members.nodes:
        wait_for(lambda node=node: node.up, "both to be up")  # type: ignore[misc]
        assert node.stop() == 0, members.said()
        audited = subprocess.run(
            [sys.executable, "-m", "shipper", "audit", str(node.config)], capture_output=True, check=False
        )
        assert audited.returncode == 0, f"what the other member reads is no hole: {audited.stdout.decode()}"
    for read in members.read():
        assert all(one.message == str(one.offset) for one in read)
        assert max(Counter((one.partition, one.offset) for one in read).values()) == 1


def wait_for_more(members: Members, node: Node) -> None:
    """Until a member runs, and something is read."""
    wait_for(lambda: node.up, f"a member to be up\n{members.said()}")
    before = len(members.places())
    wait_for(lambda: len(members.places()) > before, f"more to be read\n{members.said()}")


async def killed_under_load(members: Members) -> int:
    """Kill the members in turn, each when it has read something since its start; how many records were written."""
    dice, done = random.Random(SEED), asyncio.Event()
    writing = asyncio.create_task(write(members, done))
    for node in members.nodes * KILLS:
        await asyncio.to_thread(wait_for_more, members, node)
        await asyncio.sleep(dice.uniform(0, 1))
        await asyncio.to_thread(node.kill)
        node.start()
    done.set()
    return await writing
