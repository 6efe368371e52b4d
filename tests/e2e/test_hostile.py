"""A collector on a hostile network, as real processes: who does not belong there is refused and named in one line, the
agent that does is served all the while, and no secret shows anywhere.
"""

import json
import resource
import socket
import time
import urllib.request
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
from support.certificates import Authority
from support.half import HalfSender
from support.processes import Node, free_port, records, wait_for

from shipper.wire.tokens import add

SECRET = "planted-7hK2pQ9xVw3ZtR5mLs8N"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\4\0\0\0\0\0"


class Site:
    """A collector with TLS and tokens, and an agent that may send to it."""

    def __init__(self, folder: Path, *, mutual: bool = False) -> None:
        self.folder, self.port, self.admin = folder, free_port(), free_port()
        self.ca = Authority(folder)
        cert, key = self.ca.issue("server")
        self.token = add(folder / "tokens", "shop", "2026-01-31")
        (folder / "token").write_text(self.token + "\n")
        (folder / "token").chmod(0o600)
        client = f", client_ca: '{self.ca.cert}'" if mutual else ""
        own = ""
        if mutual:
            agent_cert, agent_key = self.ca.issue("agent")
            own = f", cert: '{agent_cert}', key: '{agent_key}'"
        self.collector = Node(
            folder,
            "collector",
            f"data_dir: {folder}/collector\nadmin: {{listen: '127.0.0.1:{self.admin}'}}\n"
            f"sources:\n  edge:\n    type: grpc\n    listen: 127.0.0.1:{self.port}\n    tokens: {folder}/tokens\n"
            f"    tls: {{cert: '{cert}', key: '{key}'{client}}}\n"
            f"sinks: {{archive: {{type: file, path: '{folder}/out.ndjson'}}}}\n",
        )
        self.agent = self.sender("agent", f"tls: {{ca: '{self.ca.cert}'{own}}}, token: \"${{file:{folder}/token}}\"")

    def sender(self, name: str, settings: str) -> Node:
        """An agent with these settings of its sink; its lines come from a folder with its name."""
        (self.folder / name).mkdir()
        return Node(
            self.folder,
            name,
            f"data_dir: {self.folder}/{name}.data\n"
            f"sources: {{app: {{type: file, include: ['{self.folder}/{name}/*.log']}}}}\n"
            f"sinks: {{central: {{type: grpc, addresses: ['127.0.0.1:{self.port}'], {settings}}}}}\n",
        )

    def write(self, text: str) -> None:
        with (self.folder / "agent" / "a.log").open("a") as file:
            file.write(text + "\n")

    def arrived(self, text: str) -> bool:
        out = self.folder / "out.ndjson"
        return out.exists() and text in out.read_text()

    def refusals(self) -> list[dict[str, str]]:
        lines = [json.loads(line) for line in self.collector.output().splitlines() if line.startswith("{")]
        return [line for line in lines if line["msg"] == "a connection was refused"]

    def named(self, words: str) -> bool:
        return any(words in line["why"] for line in self.refusals())


@pytest.fixture(name="site")
def _site(tmp_path: Path) -> Site:
    site = Site(tmp_path)
    site.collector.start()
    site.agent.start()
    wait_for(lambda: site.agent.up and site.collector.up, "both are up")
    return site


def talk(port: int, data: bytes) -> None:
    """Send bytes and wait until the collector closes the connection."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as peer:
        try:
            peer.sendall(data)
            while peer.recv(65536):
                pass
        except OSError:
            return


def test_strangers_at_a_tls_port_are_named_with_address_and_reason(site: Site, tmp_path: Path) -> None:
    talk(site.port, bytes(range(256)))
    talk(site.port, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    wait_for(lambda: site.named("it does not speak TLS"), "random bytes are named")
    wait_for(lambda: site.named("it speaks HTTP without TLS"), "HTTP/1 is named")
    assert all(line["peer"].startswith("ipv4:127.0.0.1:") for line in site.refusals())
    site.write("unharmed")
    wait_for(lambda: site.arrived("unharmed"), "the agent's line")
    assert site.agent.stop() == 0
    assert site.collector.stop() == 0


def test_senders_with_wrong_certificates_are_named_on_both_sides(tmp_path: Path) -> None:
    site = Site(tmp_path, mutual=True)
    (tmp_path / "elsewhere").mkdir()
    other = Authority(tmp_path / "elsewhere", "other")
    wrong_cert, wrong_key = other.issue("wrong")
    old_cert, old_key = site.ca.issue("old", expired=True)
    ca = f"ca: '{site.ca.cert}'"
    senders = {
        "none": f"tls: {{{ca}}}",
        "wrong": f"tls: {{{ca}, cert: '{wrong_cert}', key: '{wrong_key}'}}",
        "old": f"tls: {{{ca}, cert: '{old_cert}', key: '{old_key}'}}",
        "doubter": f"tls: {{ca: '{other.cert}'}}",
    }
    site.collector.start()
    nodes = {name: site.sender(name, settings) for name, settings in senders.items()}
    for node in [site.agent, *nodes.values()]:
        node.start()
    for words in (
        "it showed no certificate, and client_ca asks for one",
        "its certificate is signed by an authority that is not trusted here",
        "its certificate has expired",
        "perhaps it does not trust the certificate of this collector",
    ):
        wait_for(lambda words=words: site.named(words), words)  # type: ignore[misc]
    for name, words in {
        "none": "wants a certificate of this shipper ('tls.cert')",
        "wrong": "or refused it: its log says why",
        "doubter": "'tls.ca' must hold the authority of the collector's certificate",
    }.items():
        wait_for(lambda name=name, words=words: words in nodes[name].output(), words)  # type: ignore[misc]
    site.write("unharmed")
    wait_for(lambda: site.arrived("unharmed"), "the agent's line")


def test_a_port_without_tls_names_who_does_not_speak_grpc(tmp_path: Path) -> None:
    port = free_port()
    collector = Node(
        tmp_path,
        "collector",
        f"data_dir: {tmp_path}/data\nsources: {{edge: {{type: grpc, listen: '127.0.0.1:{port}'}}}}\n"
        "sinks: {out: {type: blackhole}}\n",
    )
    collector.start()
    wait_for(lambda: collector.up, "the collector is up")
    for data in (bytes(range(256)), b"GET / HTTP/1.1\r\n\r\n", PREFACE[:10], PREFACE, b""):
        talk(port, data)  # gRPC ends each of them, the silent ones after 10 s
    wait_for(lambda: "it connected and asked for nothing" in collector.output(), "the stranger is named")
    assert collector.output().count("it connected and asked for nothing") == 1  # all of them are one host
    assert "127.0.0.1" in collector.output()
    assert collector.stop() == 0


def test_a_revoked_token_ends_the_agents_connection_and_a_new_one_goes_on(site: Site) -> None:
    site.write("before")
    wait_for(lambda: site.arrived("before"), "the first line")
    (site.folder / "tokens").unlink()
    again = add(site.folder / "tokens", "shop", "2026-02-01")
    wait_for(lambda: site.named("a token of shop was revoked"), "the end of the connection")
    wait_for(lambda: "UNAUTHENTICATED" in site.agent.output(), "the agent's log")
    site.write("between")
    site.agent.kill()
    (site.folder / "token").write_text(again)
    site.agent.start()
    wait_for(lambda: site.arrived("between"), "the line written meanwhile")
    assert [r["message"] for r in records(site.folder / "out.ndjson")] == ["before", "between"]


def test_no_secret_shows_anywhere(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLANTED", SECRET)
    (tmp_path / "planted").write_text(SECRET + "\n")
    site.write("a line")
    wait_for(lambda: site.arrived("a line"), "the line")
    shown = [get(site.admin, path) for path in ("status", "metrics", "readyz")]
    odd = {
        "type": f"sinks: {{out: {{type: grpc, addresses: ['127.0.0.1:{site.port}'], token: [\"${{PLANTED}}\"]}}}}",
        "address": "sinks: {out: {type: grpc, addresses: ['https://user:${PLANTED}@x:1/']}}",
        "blank": f"sinks: {{out: {{type: grpc, addresses: ['127.0.0.1:{site.port}'], token: 'a ${{PLANTED}}'}}}}",
        "where": "sinks: {out: {type: stdout, where: \"level == '${PLANTED}' and\"}}",
        "key": "sinks: {out: {type: grpc, addresses: ['x:1'], tls: {ca: '${file:planted}'}}}",
        "number": "sinks: {out: {type: stdout}}\nspool: {max_bytes: '${PLANTED}'}",
        "plain": f"sinks: {{out: {{type: grpc, addresses: ['127.0.0.1:{site.port}'], token: '${{PLANTED}}'}}}}",
    }
    for name, sinks in odd.items():
        node = Node(
            tmp_path,
            name,
            f"data_dir: {tmp_path}/{name}\nshutdown_timeout: 1s\n"
            f"sources: {{app: {{type: file, include: ['{tmp_path}/agent/*.log']}}}}\n{sinks}\n",
        )
        node.start()
        if name == "plain":
            wait_for(lambda node=node: "TLS" in node.output(), "the warning")  # type: ignore[misc]
            node.stop()
        else:
            assert node.wait() == 2, node.output()
        shown.append(node.output())
    keys = [path.read_text().splitlines()[1] for path in tmp_path.glob("*.key")]
    for node in (site.agent, site.collector):
        assert node.stop() == 0
    for folder in tmp_path.glob("**/dead_letters"):
        shown += [path.read_bytes().decode("latin-1") for path in folder.iterdir()]
    shown += [site.agent.output(), site.collector.output()]
    for secret in (SECRET, site.token, *keys):
        for text in shown:
            assert not [secret for at in range(len(secret) - 11) if secret[at : at + 12] in text], text


def test_messages_that_are_begun_and_never_ended_do_not_fill_memory(tmp_path: Path) -> None:
    port = free_port()
    collector, agent = plain(tmp_path, port)
    with ExitStack() as peers:
        for _ in range(40):  # 4 MiB each
            peer = peers.enter_context(HalfSender(port))
            with suppress(OSError):  # it was cut
                peer.hello()
                peer.begin(4 * 1024 * 1024 + 1, 4 * 1024 * 1024)
        wait_for(lambda: "UNFINISHED" in collector.output(), "one of them is cut")
        wait_for(lambda: "it began a message" in collector.output(), "and the log says why")
        (tmp_path / "a.txt").write_text("unharmed\n")
        wait_for((tmp_path / "out.ndjson").exists, "the agent's line")
    assert "it began a message" not in agent.output()
    assert collector.output().count("UNFINISHED") == 1  # all of them are one host, and the agent is none of them
    for node in (agent, collector):
        assert node.stop() == 0


def test_a_sender_of_one_byte_a_second_is_waited_for_and_holds_up_nobody(tmp_path: Path) -> None:
    port = free_port()
    collector, agent = plain(tmp_path, port)
    with HalfSender(port) as slow:
        slow.hello()
        slow.begin(4 * 1024 * 1024, 0)
        for _ in range(5):
            slow.send(b"\0")
            time.sleep(1)
        (tmp_path / "a.txt").write_text("unharmed\n")
        wait_for((tmp_path / "out.ndjson").exists, "the agent's line")
    assert "refused" not in collector.output()
    for node in (agent, collector):
        assert node.stop() == 0


def plain(folder: Path, port: int) -> tuple[Node, Node]:
    """A collector without TLS and an agent, both up."""
    collector = Node(
        folder,
        "collector",
        f"data_dir: {folder}/data\nsources: {{edge: {{type: grpc, listen: '127.0.0.1:{port}'}}}}\n"
        f"sinks: {{archive: {{type: file, path: '{folder}/out.ndjson'}}}}\n",
    )
    agent = Node(
        folder,
        "agent",
        f"data_dir: {folder}/agent.data\nsources: {{app: {{type: file, include: ['{folder}/*.txt']}}}}\n"
        f"sinks: {{central: {{type: grpc, addresses: ['127.0.0.1:{port}']}}}}\n",
    )
    for node in (collector, agent):
        node.start()
    wait_for(lambda: agent.up and collector.up, "both are up")
    return collector, agent


@pytest.mark.parametrize("words", [b"", PREFACE], ids=["silent", "http2"])
def test_ten_thousand_idle_connections_cost_less_than_200_mib_and_harm_nobody(
    tmp_path: Path, words: bytes, request: pytest.FixtureRequest
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    request.addfinalizer(lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard)))
    port = free_port()
    collector, _ = plain(tmp_path, port)
    most = 150
    for storm in (1, 2):
        with ExitStack() as peers:
            for _ in range(min(10_000, hard - 500)):
                peer = peers.enter_context(socket.create_connection(("127.0.0.1", port), timeout=60))
                with suppress(OSError):  # beyond max_connections they are closed
                    peer.sendall(words)
            with (tmp_path / "a.txt").open("a") as lines:
                lines.write("unharmed\n")
            wait_for(lambda storm=storm: served(tmp_path) == storm, "the agent's line")  # type: ignore[misc]
            assert memory(collector, "VmHWM") <= 200
        wait_for(lambda most=most: memory(collector, "VmRSS") <= most, "memory is given back")  # type: ignore[misc]
        most = memory(collector, "VmRSS") + 15  # what stays, stays once: a second storm adds next to nothing
    assert collector.stop() == 0


def served(folder: Path) -> int:
    out = folder / "out.ndjson"
    return len(out.read_bytes().splitlines()) if out.exists() else 0


def memory(node: Node, field: str) -> int:
    """A figure of /proc/PID/status in MiB."""
    lines = Path(f"/proc/{node.process.pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith(field))


def get(port: int, path: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=30) as answer:
        text: str = answer.read().decode()
        return text
