"""The config of the syslog source: what is refused, what is warned of, and what it loads."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shipper.sources.syslog import SyslogSource

UDP = "udp://127.0.0.1:0"


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"listen": []}, "must name at least one address"),
        ({"listen": ["0.0.0.0:514"]}, "write udp://, tcp:// or tls:// and host:port"),
        ({"listen": ["http://0.0.0.0:514"]}, "write udp://, tcp:// or tls:// and host:port"),
        ({"listen": ["udp://0.0.0.0:99999"]}, "has no port from 0 to 65535"),
        (
            {"listen": ["udp://[::]:514", "tcp://[::]:514", "udp://[::]:514"]},
            r"listen names the address \[::\]:514 \(UDP\) tw",
        ),
        ({"listen": ["udp://0.0.0.0"]}, "is not an address; write host:port"),
        ({"listen": ["tls://127.0.0.1:6514"]}, "tls://127.0.0.1:6514 needs 'tls' with 'cert' and 'key'"),
        ({"listen": [UDP], "timezone": "Mars/Olympus"}, "there is no time zone 'Mars/Olympus'"),
        ({"listen": [UDP], "max_message_bytes": 100}, "at least 480 and at most 256KiB"),
    ],
)
def test_what_cannot_be_used_is_a_config_error(settings: dict[str, object], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        SyslogSource(**settings).setup()  # type: ignore[arg-type]


def test_check_warns_of_a_port_that_everybody_reaches(tmp_path: Path) -> None:
    """Without TLS anybody can send; one on loopback is no matter."""
    path = tmp_path / "agent.yaml"
    path.write_text(
        "sources: {net: {type: syslog, listen: ['udp://0.0.0.0:514', 'tcp://127.0.0.1:601', 'tcp://[::]:601']}}\n"
        "sinks: {out: {type: stdout}}\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "shipper", "check", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0
    assert done.stderr.splitlines() == [
        f"warning: {path}:1: sources.net.listen: {address} listens on every interface without TLS: "
        "whoever reaches the port can send"
        for address in ("udp://0.0.0.0:514", "tcp://[::]:601")
    ]


def test_without_tls_neither_openssl_nor_grpc_is_loaded() -> None:
    """See docs/decisions/005-lean-process.md."""
    program = (
        "import json, sys\nfrom shipper.lean import import_asyncio_without_ssl\nimport_asyncio_without_ssl()\n"
        "from shipper.sources.syslog import SyslogSource\nSyslogSource(listen=['udp://127.0.0.1:0']).setup()\n"
        "print(json.dumps(list(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, env=dict(os.environ))
    assert not {"ssl", "_ssl", "grpc", "zoneinfo"} & set(json.loads(done.stdout))
