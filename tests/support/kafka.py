"""Real Apache Kafka brokers (KRaft, no ZooKeeper) on loopback.

How to use it in a test, with the fixtures of ``support.kafka_fixtures`` (every test finds them):

- ``kafka``: the broker that all tests share. ``topic = await kafka.create(partitions=3)`` makes a topic with a name of
  its own, ``await kafka.read(topic)`` returns every committed record, ``kafka.kcat("-C", ...)`` asks another client,
  ``kafka.address`` is what a config's ``brokers`` takes. A synchronous test says ``asyncio.run(kafka.read(topic))``.
- ``own_kafka``: a broker of the test's own: ``own_kafka.kill()``, ``.start()``, ``.stop()``, ``.pause()``,
  ``.resume()``. Its address and its data stay the same; ``own_kafka.client`` is what ``kafka`` is for the shared one.
- ``start_kafka(security=Security(...), settings={...})``: such a broker with TLS, SASL, ACLs or other settings.
- ``kafka_cluster``: three brokers; ``leader(topic)`` is the one to kill.

A broker costs about 2 seconds of CPU to start, so tests that can share the first one do. It takes no more than 256 MiB
of heap, and dies with the thread that started it: start it from the test's own thread.
"""

import base64
import os
import signal
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, get_args

from support.kafka_client import Kafka
from support.kafka_template import java, prepare, properties
from support.ports import answers, lasting_port

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]

_SETTINGS: Final = {
    "process.roles": "broker,controller",
    "controller.listener.names": "CONTROLLER",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,"
    + ",".join(f"{protocol}:{protocol}" for protocol in get_args(Protocol)),
    "auto.create.topics.enable": "false",
    # One partition each: thousands of folders less to make, to sync and to read again.
    "offsets.topic.num.partitions": "1",
    "transaction.state.log.num.partitions": "1",
    "share.coordinator.state.topic.num.partitions": "1",
    # Soon, not after minutes: tests wait for it.
    "group.initial.rebalance.delay.ms": "0",
    "group.min.session.timeout.ms": "1000",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "500",
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "500",
    # Small: one client, little memory.
    "num.network.threads": "2",
    "num.io.threads": "2",
    "log.cleaner.dedupe.buffer.size": "4194304",
    "log.index.size.max.bytes": "1048576",
}


@dataclass(frozen=True)
class Security:
    """Who may connect how, beside the PLAINTEXT listener, over which everything is allowed."""

    tls: tuple[Path, Path] | None = None
    """The broker's certificate and key: there is an SSL listener."""
    clients: Path | None = None
    """The authority of the clients' certificates: they must show one."""
    users: Mapping[str, str] = field(default_factory=dict)
    """Passwords by name, for PLAIN and SCRAM: there is a SASL_PLAINTEXT listener, with ``tls`` a SASL_SSL one, too."""
    acls: bool = False
    """Users, and those who come over SSL, may do only what ``client.allow`` allows them."""


class Broker:
    """One broker, which is its own controller or one of a cluster's."""

    def __init__(
        self,
        folder: Path,
        *,
        security: Security | None = None,
        settings: Mapping[str, str] | None = None,
        node: int = 1,
        voters: Sequence[int] = (),
        cluster: str = "",
        heap: str = "256m",
    ) -> None:
        """``voters``: the controllers' ports in the order of their node numbers; ``cluster``: its id."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._security = folder, security or Security()
        self._cluster = cluster or _id()
        self.node = node
        self._java = java(heap)
        self._ports: dict[Protocol, int] = {name: lasting_port() for name in _listeners(self._security)}
        self.log = folder / f"broker-{node}.log"
        self._config = folder / f"broker-{node}.properties"
        self._process: subprocess.Popen[bytes] | None = None
        own = {**self._places(voters or [lasting_port()]), **_secured(self._security, folder), **(settings or {})}
        self._config.write_text(properties({**_SETTINGS, **own}))

    @property
    def address(self) -> str:
        """The PLAINTEXT listener, as ``host:port``."""
        return self.at("PLAINTEXT")

    @property
    def client(self) -> Kafka:
        """Makes topics and reads them."""
        return Kafka(self.address)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def at(self, protocol: Protocol) -> str:
        """The address of a listener, as ``host:port``; the same after every start."""
        return f"127.0.0.1:{self._ports[protocol]}"

    def start(self, *, wait: bool = True) -> None:
        """Start it, with the data that it has; ``wait`` until it takes connections."""
        if not (self._folder / f"data-{self.node}").exists():
            self._format()
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *self._java, "kafka.Kafka", str(self._config)],
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in a terminal is for pytest
            )
        if wait:
            self.wait_up()

    def wait_up(self, seconds: float = 180) -> None:
        """Wait until it takes connections."""
        deadline = time.monotonic() + seconds
        while not answers(self._ports["PLAINTEXT"]):
            assert self.running, f"the broker ended:\n{self.log.read_text()[-3000:]}"
            assert time.monotonic() < deadline, f"no broker after {seconds} s:\n{self.log.read_text()[-3000:]}"
            time.sleep(0.02)

    def kill(self) -> None:
        """Kill -9."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self, seconds: float = 60) -> None:
        """Ask it to end, as an administrator would, and wait for it."""
        assert self._process is not None
        self._process.terminate()
        self._process.wait(seconds)

    def pause(self) -> None:
        """It neither answers nor closes connections any more."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """It goes on after ``pause``."""
        assert self._process is not None
        os.kill(self._process.pid, signal.SIGCONT)

    def tool(self, name: str, *arguments: str) -> str:
        """What one of Kafka's own tools prints: ``tool("org.apache.kafka.tools.ProducerPerformance", ...)``."""
        done = subprocess.run([*self._java, name, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{name}: {done.stdout}{done.stderr}"
        return done.stdout

    def _format(self) -> None:
        """Make the empty data folder, with the users' SCRAM credentials in it."""
        if not self._security.users:
            ids = {"node.id": str(self.node), "cluster.id": self._cluster, "directory.id": _id()}
            prepare(self._folder / f"data-{self.node}", ids)
            return
        scram = [
            f"--add-scram={mechanism}=[name={user},password={password}]"
            for user, password in self._security.users.items()
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
        ]
        self.tool(
            "kafka.tools.StorageTool", "format", f"--cluster-id={self._cluster}", f"--config={self._config}", *scram
        )

    def _places(self, voters: Sequence[int]) -> dict[str, str]:
        """Where it listens, where its data is, who votes."""
        open_to_clients = [f"{name}://127.0.0.1:{port}" for name, port in self._ports.items()]
        copies = str(len(voters))
        return {
            "node.id": str(self.node),
            "log.dirs": str(self._folder / f"data-{self.node}"),
            "controller.quorum.voters": ",".join(f"{n}@127.0.0.1:{port}" for n, port in enumerate(voters, 1)),
            "listeners": ",".join([*open_to_clients, f"CONTROLLER://127.0.0.1:{voters[self.node - 1]}"]),
            "advertised.listeners": ",".join(open_to_clients),
            **dict.fromkeys(
                (
                    "offsets.topic.replication.factor",
                    "transaction.state.log.replication.factor",
                    "share.coordinator.state.topic.replication.factor",
                ),
                copies,
            ),
            "transaction.state.log.min.isr": "1" if len(voters) == 1 else "2",
        }


class Cluster:
    """Three brokers that hold copies for each other."""

    def __init__(self, folder: Path, count: int = 3) -> None:
        voters = [lasting_port() for _ in range(count)]
        cluster = _id()
        self.brokers = [Broker(folder, node=node, voters=voters, cluster=cluster) for node in range(1, count + 1)]

    @property
    def addresses(self) -> list[str]:
        return [broker.address for broker in self.brokers]

    @property
    def client(self) -> Kafka:
        """Makes topics and reads them."""
        return Kafka(",".join(self.addresses))

    def start(self) -> None:
        """Start all at once, and wait for all."""
        for broker in self.brokers:
            broker.start(wait=False)
        for broker in self.brokers:
            broker.wait_up()

    def kill(self) -> None:
        for broker in self.brokers:
            broker.kill()

    async def leader(self, topic: str, partition: int = 0) -> Broker:
        """The broker that leads a partition now."""
        node = await self.client.leader(topic, partition)
        return self.brokers[node - 1]


def _id() -> str:
    """A new one, as Kafka writes them."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def _listeners(security: Security) -> list[Protocol]:
    names: list[Protocol] = ["PLAINTEXT"]
    if security.tls:
        names.append("SSL")
    if security.users:
        names.append("SASL_PLAINTEXT")
    if security.tls and security.users:
        names.append("SASL_SSL")
    return names


def _secured(security: Security, folder: Path) -> dict[str, str]:
    """The settings of TLS, SASL and ACLs."""
    made: dict[str, str] = {}
    if security.tls:
        both = folder / "keystore.pem"
        both.write_text("".join(path.read_text() for path in reversed(security.tls)))
        made |= {"ssl.keystore.type": "PEM", "ssl.keystore.location": str(both)}
    if security.clients:
        made |= {"ssl.truststore.type": "PEM", "ssl.truststore.location": str(security.clients)}
        made["ssl.client.auth"] = "required"
    if security.users:
        made["sasl.enabled.mechanisms"] = "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512"
        users = " ".join(f'user_{name}="{password}"' for name, password in security.users.items())
        logins = {"plain": f"plain.PlainLoginModule required {users}"}
        logins |= dict.fromkeys(("scram-sha-256", "scram-sha-512"), "scram.ScramLoginModule required")
        made |= {
            f"listener.name.{listener}.{mechanism}.sasl.jaas.config": f"org.apache.kafka.common.security.{login};"
            for listener in ("sasl_plaintext", "sasl_ssl")
            for mechanism, login in logins.items()
        }
    if security.acls:
        made["authorizer.class.name"] = "org.apache.kafka.metadata.authorizer.StandardAuthorizer"
        made["super.users"] = "User:ANONYMOUS"
    return made
