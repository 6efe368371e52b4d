"""TLS, passwords and rights. With a real broker that demands all of them."""

import asyncio
import functools
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pytest
from support.certificates import Authority
from support.delivering import DEADLINE, Outpost, frame_draft, lines, until
from support.kafka import Broker, Security
from support.kafka_once import QUICK
from support.kafka_sinks import kafka_sink, texts

from shipper.kafka.settings import KafkaTls, Sasl
from shipper.sinks.base import Backoff, Breaker, Duration
from shipper.sinks.kafka.destinations import CreateTopics

Mechanism = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
PASSWORD = "correct horse"
HOST = "kafka.example"


class Secured(NamedTuple):
    """A broker with every listener, and who it trusts."""

    broker: Broker
    ours: Authority
    """The authority of the broker and its clients."""
    others: Authority

    def tls(self, **settings: Any) -> KafkaTls:
        """What gets a client in."""
        folder = self.ours.cert.parent
        return KafkaTls(**{"ca": self.ours.cert, "cert": folder / "edge.pem", "key": folder / "edge.key", **settings})


@pytest.fixture(scope="module")
def secured(kafka_jars: Path) -> Iterator[Secured]:
    """One for all tests here: each has topics and users of its own."""
    with tempfile.TemporaryDirectory(prefix="shipper-test-") as folder:
        ours, others = Authority(Path(folder)), Authority(Path(folder), "others")
        ours.issue("edge")
        others.issue("stranger")
        security = Security(
            tls=ours.issue("broker", host=f"DNS:{HOST}"),
            clients=ours.cert,
            users=dict.fromkeys(("writer", "reader"), PASSWORD),
            acls=True,
        )
        broker = Broker(Path(folder) / "kafka", security=security)
        broker.start()
        yield Secured(broker, ours, others)
        broker.kill()


@pytest.fixture
def outpost(tmp_path_factory: pytest.TempPathFactory) -> Outpost:
    return Outpost(tmp_path_factory.mktemp("outpost"))


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
@pytest.mark.parametrize("listener", ["SASL_PLAINTEXT", "SASL_SSL"])
async def test_a_user_with_the_password_gets_in(
    secured: Secured, outpost: Outpost, mechanism: Mechanism, listener: Literal["SASL_PLAINTEXT", "SASL_SSL"]
) -> None:
    kafka = secured.broker.client
    topic = await kafka.create()
    await kafka.allow("writer", "topic", topic, "write", "describe")
    sink = kafka_sink(
        [secured.broker.at(listener)],
        topic,
        sasl=Sasl(mechanism=mechanism, username="writer", password=PASSWORD),
        tls=secured.tls(server_name=HOST) if listener == "SASL_SSL" else None,
    )
    async with outpost.opened():
        await outpost.append(frame_draft(lines("one")))
    await outpost.deliver_all(sink)
    assert texts(await kafka.read(topic)) == ["one"]


async def state_of(outpost: Outpost, brokers: list[str], topic: str, expected: str, **settings: Any) -> str:
    """What a delivery says once it says what is expected; it tries again and again."""
    sink = kafka_sink(brokers, topic, **settings)
    async with outpost.opened(), outpost.delivering(sink) as delivery:
        await outpost.append(frame_draft(lines("one")))
        await until(lambda: expected in delivery.state, expected)
        assert not delivery.caught_up
        return delivery.state


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256"])
async def test_a_wrong_password_is_said_and_tried_rarely(
    secured: Secured, outpost: Outpost, mechanism: Mechanism
) -> None:
    sasl = Sasl(mechanism=mechanism, username="writer", password="wrong")
    address = secured.broker.at("SASL_PLAINTEXT")
    expected = f"open: broker {address}: the broker does not know this user with this password"
    state = await state_of(outpost, [address], "logs", expected, sasl=sasl)
    assert "wrong" not in state
    assert outpost.metrics.value("shipper_sink_retries_total", sink="out", reason="refused") == 1


async def test_a_client_certificate_gets_in_and_the_brokers_name_is_checked(secured: Secured, outpost: Outpost) -> None:
    kafka, address = secured.broker.client, secured.broker.at("SSL")
    topic = await kafka.create()
    await kafka.allow("CN=edge", "topic", topic, "write", "describe")
    wrong = await state_of(outpost, [address], topic, "retrying: ", tls=secured.tls())
    assert wrong == f"retrying: broker {address}: its certificate is for another name: connect by a name that is in it"
    await outpost.deliver_all(kafka_sink([address], topic, tls=secured.tls(server_name=HOST)))
    assert texts(await kafka.read(topic)) == ["one"]


async def test_tls_works_in_the_program_which_loads_no_tls_for_others(secured: Secured, tmp_path: Path) -> None:
    """Its asyncio begins without it (decision 5)."""
    kafka, folder = secured.broker.client, secured.ours.cert.parent
    topic = await kafka.create()
    await kafka.allow("writer", "topic", topic, "write", "describe")
    (tmp_path / "app.log").write_text("one\ntwo\n")
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    (tmp_path / "agent.yaml").write_text(
        f"data_dir: {tmp_path}/data\n"
        f"sources: {{app: {{type: file, include: ['{tmp_path}/app.log']}}}}\n"
        "sinks:\n"
        "  kafka:\n"
        "    type: kafka\n"
        f"    brokers: ['{secured.broker.at('SASL_SSL')}']\n"
        f"    topic: {topic}\n"
        f"    tls: {{ca: {folder}/ca.pem, cert: {folder}/edge.pem, key: {folder}/edge.key, server_name: {HOST}}}\n"
        f"    sasl: {{username: writer, password: '${{file:{tmp_path}/password}}'}}\n"
    )
    shipper = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "shipper", "run", "--once", tmp_path / "agent.yaml", stderr=asyncio.subprocess.PIPE
    )
    _, said = await shipper.communicate()
    assert shipper.returncode == 0, said.decode()
    assert texts(await kafka.read(topic)) == ["one", "two"]


async def test_a_broker_of_another_authority_is_not_trusted(secured: Secured, outpost: Outpost) -> None:
    tls = secured.tls(ca=secured.others.cert, server_name=HOST)
    expected = "its certificate is signed by an authority that is not trusted here"
    await state_of(outpost, [secured.broker.at("SSL")], "logs", expected, tls=tls)


async def test_a_broker_that_asks_for_a_certificate_says_so(secured: Secured, outpost: Outpost) -> None:
    tls = KafkaTls(ca=secured.ours.cert, server_name=HOST)
    await state_of(outpost, [secured.broker.at("SSL")], "logs", "refused the certificate", tls=tls)


@pytest.mark.parametrize(("listener", "encrypted"), [("SSL", False), ("PLAINTEXT", True)])
async def test_tls_on_one_side_only_is_said(
    secured: Secured, outpost: Outpost, listener: Literal["SSL", "PLAINTEXT"], encrypted: bool
) -> None:
    expected = "the broker closed the connection: does it expect TLS or SASL here, or none?"
    tls = secured.tls(server_name=HOST) if encrypted else None
    await state_of(outpost, [secured.broker.at(listener)], "logs", expected, tls=tls)


async def test_a_password_for_a_broker_that_asks_for_none_is_said(secured: Secured, outpost: Outpost) -> None:
    sasl = Sasl(mechanism="PLAIN", username="writer", password=PASSWORD)
    address = secured.broker.address
    await state_of(outpost, [address], "logs", f"open: broker {address}: the broker expects no SASL here", sasl=sasl)


async def test_a_user_without_rights_is_said_and_goes_on_when_they_are_granted(
    secured: Secured, outpost: Outpost
) -> None:
    """Nothing is dropped meanwhile. Who may write to no topic at all gets no producer id."""
    kafka = secured.broker.client
    topic = await kafka.create()
    await kafka.allow("reader", "topic", await kafka.create(), "write")
    await kafka.allow("reader", "topic", topic, "describe")
    sasl = Sasl(mechanism="SCRAM-SHA-256", username="reader", password=PASSWORD)
    sink = kafka_sink([secured.broker.at("SASL_PLAINTEXT")], topic, sasl=sasl)
    async with outpost.opened(), outpost.delivering(sink) as delivery:
        await outpost.append(frame_draft(lines("one")))
        expected = f"open: topic {topic}, partition 0: this user may not use the topic; grant it the rights"
        await until(lambda: delivery.state == expected, expected)
        await kafka.allow("reader", "topic", topic, "write")
        await asyncio.wait_for(delivery.wait_caught_up(), DEADLINE)
    assert texts(await kafka.read(topic)) == ["one"]


async def test_exactly_once_says_which_rights_it_lacks(secured: Secured, outpost: Outpost) -> None:
    kafka = secured.broker.client
    topic, cursors = await kafka.create(), await kafka.create(settings={"cleanup.policy": "compact"})
    await kafka.allow("writer", "topic", topic, "write", "describe")
    sasl = Sasl(mechanism="SCRAM-SHA-256", username="writer", password=PASSWORD)
    address = secured.broker.at("SASL_PLAINTEXT")
    sink = kafka_sink([address], topic, exactly_once=True, cursor_topic=cursors, sasl=sasl, **QUICK)
    async with outpost.opened() as spool, outpost.delivering(sink) as delivery:
        await outpost.append(frame_draft(lines("one")))
        await until(lambda: f"the cursor topic {cursors}: this user may not use the topic" in delivery.state)
        await kafka.allow("writer", "topic", cursors, "write", "describe", "read")
        own = f"transactional id shipper-{spool.stream.hex()}-out"
        await until(lambda: f"{own}: this user may not use the transactional id" in delivery.state)
        await kafka.allow("writer", "transactional_id", "shipper-", "write", "describe")
        await asyncio.wait_for(delivery.wait_caught_up(), DEADLINE)
    assert texts(await kafka.read(topic)) == ["one"]


async def test_what_stands_behind_a_topic_without_rights_is_not_written_again_and_again(
    secured: Secured, outpost: Outpost
) -> None:
    """Each attempt begins with what was not acknowledged: soon the refused record goes alone."""
    kafka = secured.broker.client
    allowed, denied = await kafka.create(), await kafka.create()
    await kafka.allow("reader", "topic", allowed, "write", "describe")
    await kafka.allow("reader", "topic", denied, "describe")
    sasl = Sasl(mechanism="SCRAM-SHA-256", username="reader", password=PASSWORD)
    breaker, backoff = Breaker(open_for=Duration(0.05)), Backoff(min=Duration(0.01), max=Duration(0.05))
    sink = kafka_sink([secured.broker.at("SASL_PLAINTEXT")], "{to}", sasl=sasl, breaker=breaker, backoff=backoff)
    refused = functools.partial(outpost.metrics.value, "shipper_sink_retries_total", sink="out", reason="refused")
    async with outpost.opened(), outpost.delivering(sink) as delivery:
        for number, topic in enumerate([allowed, denied, allowed]):
            await outpost.append(frame_draft(lines(str(number)), {"to": topic}))
        await until(lambda: refused() >= 4)
        written = texts(await kafka.read(allowed))
        attempts = refused()
        await until(lambda: refused() >= attempts + 4)
        assert texts(await kafka.read(allowed)) == written
        await kafka.allow("reader", "topic", denied, "write")
        await asyncio.wait_for(delivery.wait_caught_up(), DEADLINE)
    assert texts(await kafka.read(denied)) == ["1"]
    assert texts(await kafka.read(allowed))[0] == "0"
    assert texts(await kafka.read(allowed))[-1] == "2"


async def test_topics_are_made_only_by_those_who_may(secured: Secured, outpost: Outpost) -> None:
    kafka = secured.broker.client
    prefix = await kafka.create()
    await kafka.allow("writer", "topic", prefix, "write", "describe")
    sasl = Sasl(mechanism="PLAIN", username="writer", password=PASSWORD)
    settings = {"sasl": sasl, "create_topics": CreateTopics()}
    address = secured.broker.at("SASL_PLAINTEXT")
    state = await state_of(outpost, [address], f"{prefix}-new", "open: ", **settings)
    assert f"topic {prefix}-new cannot be made" in state
    await kafka.allow("writer", "topic", prefix, "create")
    await outpost.deliver_all(kafka_sink([address], f"{prefix}-new", **settings))
    assert texts(await kafka.read(f"{prefix}-new")) == ["one"]


def test_the_password_is_in_no_text_about_the_sink() -> None:
    sasl = Sasl(mechanism="PLAIN", username="writer", password=PASSWORD)
    sink = kafka_sink(["localhost:9092"], "logs", sasl=sasl)
    assert PASSWORD not in f"{sasl!r} {sink!r} {sink.describe()} {sink.cautions()}"


def test_a_password_without_tls_is_warned_of() -> None:
    sasl = Sasl(mechanism="PLAIN", username="writer", password=PASSWORD)
    assert kafka_sink(["localhost:9092"], "logs", sasl=sasl).cautions() == [
        ("sasl", "the password is sent without TLS: whoever reads the network on the way has it")
    ]
    scram = Sasl(mechanism="SCRAM-SHA-512", username="writer", password=PASSWORD)
    assert kafka_sink(["localhost:9092"], "logs", sasl=scram).cautions() == []
