"""What an agent that ships files over gRPC must not load (docs/decisions/005-lean-process.md)."""

import subprocess
import sys
from pathlib import Path

AGENT = """
data_dir: {folder}/data
sources: {{app: {{type: file, include: ["{folder}/*.log"]}}}}
sinks: {{central: {{type: grpc, addresses: ["127.0.0.1:1"]}}}}
"""
PROGRAM = """
import sys
from shipper.lean import import_asyncio_without_ssl
import_asyncio_without_ssl()
from shipper import config
from shipper.pipeline import Pipeline
pipeline = Pipeline(config.load([sys.argv[1]]))
print(*sorted(sys.modules))
"""


def modules(config: Path) -> set[str]:
    done = subprocess.run([sys.executable, "-c", PROGRAM, config], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_an_agent_loads_no_openssl_and_nothing_else_that_it_does_not_use(tmp_path: Path) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text(AGENT.format(folder=tmp_path))
    loaded = modules(path)
    assert {"shipper.sources.file", "shipper.sinks.grpc", "grpc", "shipper.v1.ingest_pb2"} <= loaded
    assert not loaded & {"_ssl", "_hashlib", "cryptography"}
    assert not loaded & {"shipper.chain.expression", "shipper.chain.where_code"}  # there is no "where"
    # Nothing asks for them.
    assert not loaded & {"shipper.chain.sandbox", "shipper.chain.child", "shipper.chain.workers"}
    assert not loaded & {"google.protobuf.internal.python_message", "google.protobuf.text_format"}
    assert not loaded & {"ipaddress", "importlib.metadata", "hashlib", "secrets", "email", "difflib"}
    assert not loaded & {"shipper.wire.server", "shipper.wire.tokens", "shipper.config.schema", "shipper.docs"}
    assert not loaded & {"sqlite3", "_sqlite3", "shipper.ledger.keeper", "shipper.ledger.changes"}


def test_what_is_postponed_is_there_when_it_is_used() -> None:
    program = """
import sys
from shipper import lean
with lean.postponed("ipaddress"):
    from urllib import parse
assert "ipaddress" not in sys.modules
assert parse.urlsplit("http://[::1]:80/").port == 80
parse.ipaddress.ip_address("::1")
import ipaddress
assert parse.ipaddress.IPv6Address is ipaddress.IPv6Address
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_protobuf_in_python_works_too() -> None:
    program = """
import os
os.environ["PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"] = "python"
from shipper.v1 import ingest_pb2 as pb
assert pb.Gap.FromString(pb.Gap(first=1, last=2).SerializeToString()).last == 2
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_code_that_only_the_start_needed_leaves_and_comes_back() -> None:
    program = """
from shipper import lean
from shipper.wire.channel import grpc
def resident():
    at, size = False, 0
    for line in open("/proc/self/smaps"):
        words = line.split()
        if not words[0].endswith(":"):
            at = "cygrpc" in line and words[1] == "r-xp"
        elif at and words[0] == "Rss:":
            size += int(words[1])
    return size
def use():
    with grpc.insecure_channel("127.0.0.1:1") as channel:
        channel.subscribe(id, try_to_connect=True)
use()
before = resident()
lean.forget_start()
after = resident()
use()
print(before, after)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert after < before / 2
