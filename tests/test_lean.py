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
from pathlib import Path
from shipper.lean import import_asyncio_without_ssl
import_asyncio_without_ssl()
from shipper import config
from shipper.pipeline import Pipeline
pipeline = Pipeline(config.load([Path(sys.argv[1])]))
print(*sorted(sys.modules))
"""


def test_an_agent_loads_no_openssl(tmp_path: Path) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text(AGENT.format(folder=tmp_path))
    done = subprocess.run([sys.executable, "-c", PROGRAM, path], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert {"shipper.sources.file", "shipper.sinks.grpc", "grpc"} <= loaded
    assert not loaded & {"_ssl", "_hashlib", "cryptography"}
