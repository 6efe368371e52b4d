"""Labels that make names of topics which the brokers refuse: they hold nobody else up. With a real broker."""

import uuid
from pathlib import Path
from typing import Any

import pytest
from support.delivering import Outpost, frame_draft, lines, until
from support.kafka_client import Kafka
from support.kafka_once import QUICK
from support.kafka_sinks import kafka_sink, texts

from shipper.kafka.cluster import Cluster
from shipper.sinks.kafka.destinations import CreateTopics

CREATE = CreateTopics(partitions=1, replication=1)


@pytest.fixture
def outpost(tmp_path: Path) -> Outpost:
    return Outpost(tmp_path / "outpost")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The topics that the brokers are asked to make."""
    asked: list[str] = []
    create = Cluster.create

    async def noted(self: Cluster, topic: str, **settings: Any) -> None:
        asked.append(topic)
        await create(self, topic, **settings)

    monkeypatch.setattr(Cluster, "create", noted)
    return asked


async def append(outpost: Outpost, *apps: str) -> None:
    """A frame for each, with one record that says which."""
    await outpost.append(*(frame_draft(lines(app), {"app": app}) for app in apps))


@pytest.mark.parametrize("exactly_once", [False, True])
async def test_a_label_that_differs_from_another_in_dots_only_refuses_its_records_alone(
    kafka: Kafka, outpost: Outpost, *, exactly_once: bool
) -> None:
    """Kafka makes no topic ``a.b`` beside ``a_b``: their metrics would have one name."""
    prefix = await kafka.create()
    settings = {"exactly_once": exactly_once, "cursor_topic": f"cursors-{uuid.uuid4().hex}", "create_topics": CREATE}
    async with outpost.opened():
        await append(outpost, "a_b")
    await outpost.deliver_all(kafka_sink(kafka, f"{prefix}-{{app}}", **settings))
    async with outpost.opened():
        await append(outpost, "ok", "a.b", "a_b", "a.b", "ok")
    await outpost.deliver_all(kafka_sink(kafka, f"{prefix}-{{app}}", **settings))
    assert texts(await kafka.read(f"{prefix}-a_b")) == ["a_b", "a_b"]
    assert texts(await kafka.read(f"{prefix}-ok")) == ["ok", "ok"]
    letters = outpost.dead_letters()
    assert [letter.raw for letter in letters] == [b"a.b", b"a.b"]
    assert letters[0].error == (
        f"topic {prefix}-a.b: the brokers take no topic of this name "
        f"(Topic '{prefix}-a.b' collides with existing topic: {prefix}-a_b)"
    )


async def test_a_name_that_was_refused_is_not_asked_for_again_with_each_frame(
    kafka: Kafka, outpost: Outpost, made: list[str]
) -> None:
    """It would cost the controller of the cluster a request each time."""
    prefix = await kafka.create()
    await kafka.create(f"{prefix}-a_b")
    sink = kafka_sink(kafka, f"{prefix}-{{app}}", create_topics=CREATE)
    async with outpost.opened(), outpost.delivering(sink) as delivery:
        for _ in range(3):
            await append(outpost, "a.b")
            await until(lambda: delivery.caught_up)
    assert len(outpost.dead_letters()) == 3
    assert made == [f"{prefix}-a.b"]


@pytest.mark.parametrize("name", ["__cluster_metadata", "__consumer.offsets", "__share_group_state"])
async def test_a_topic_of_kafkas_own_is_not_made(kafka: Kafka, outpost: Outpost, made: list[str], name: str) -> None:
    """Nor one in its place: beside ``__consumer.offsets`` the brokers could not make theirs."""
    async with outpost.opened():
        await append(outpost, name)
    await outpost.deliver_all(kafka_sink(kafka, "{app}", create_topics=CREATE))
    (letter,) = outpost.dead_letters()
    assert letter.error.endswith(f": Kafka keeps {name.replace('.', '_')} for itself")
    assert made == []


async def test_a_sink_whose_only_topic_collides_waits_and_says_with_what(kafka: Kafka, outpost: Outpost) -> None:
    topic = await kafka.create()
    await kafka.create(f"{topic}.a")
    sink = kafka_sink(kafka, f"{topic}_a", create_topics=CREATE, **QUICK)
    async with outpost.opened(), outpost.delivering(sink) as delivery:
        await append(outpost, "ok")
        await until(lambda: f"collides with existing topic: {topic}.a" in delivery.state, delivery.state)
    assert outpost.dead_letters() == []
