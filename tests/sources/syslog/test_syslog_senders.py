"""The syslog source behind real senders: logger of util-linux and rsyslogd."""

import asyncio
import os
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path

import pytest
from support.certificates import Authority
from support.intake import MemoryIntake
from support.syslog import records, serving, syslog_source

from shipper.wire.certificates import ServerTls

LOGGER = [
    (["--udp", "--rfc3164"], "udp"),
    (["--udp", "--rfc5424"], "udp"),
    (["--tcp", "--rfc3164"], "tcp"),
    (["--tcp", "--rfc5424"], "tcp"),
    (["--tcp", "--octet-count", "--rfc3164"], "tcp"),
    (["--tcp", "--octet-count", "--rfc5424"], "tcp"),
]


@pytest.mark.parametrize(("arguments", "transport"), LOGGER)
async def test_logger(arguments: list[str], transport: str, tmp_path: Path) -> None:
    """Of util-linux: each line of a file is a message; all of its fields come."""
    text = tmp_path / "lines"
    text.write_text("".join(f"line {number}: déjà vu\n" for number in range(50)))
    intake = MemoryIntake()
    async with serving(syslog_source(f"{transport}://127.0.0.1:0"), intake) as (port,):
        to = ["logger", "-n", "127.0.0.1", "-P", str(port), *arguments]
        tagged = ["-p", "local3.warning", "-t", "backup", "--id=4711"]
        await asyncio.to_thread(subprocess.run, [*to, *tagged, "-f", str(text)], check=True)
        await intake.have(50)
    found = records(intake)
    assert [record["message"] for record in found] == [f"line {number}: déjà vu" for number in range(50)]
    for record in found:
        assert "parse_error" not in record
        assert record["hostname"] == socket.gethostname().partition("." if "--rfc3164" in arguments else "\n")[0]
        assert (record["app_name"], record["proc_id"]) == ("backup", "4711")
        assert (record["facility"], record["severity"], record["peer"]) == ("local3", "warning", "127.0.0.1")
        assert abs(datetime.fromisoformat(record["timestamp"]).timestamp() - time.time()) < 60


async def test_logger_with_structured_data() -> None:
    intake = MemoryIntake()
    async with serving(syslog_source("udp://127.0.0.1:0"), intake) as (port,):
        data = ["--sd-id", "zoo@123", "--sd-param", 'tiger="hungry"', "--sd-param", 'zebra="run\\]ning"']
        command = ["logger", "-n", "127.0.0.1", "-P", str(port), "--udp", "--rfc5424", "--msgid", "ID7", *data, "m"]
        await asyncio.to_thread(subprocess.run, command, check=True)
        await intake.have(1)
    (record,) = records(intake)
    assert record["structured_data"]["zoo@123"] == {"tiger": "hungry", "zebra": "run]ning"}
    assert "timeQuality" in record["structured_data"]
    assert (record["message"], record["msg_id"]) == ("m", "ID7")


@asynccontextmanager
async def rsyslog(folder: Path, action: str, settings: str = "") -> AsyncIterator[Path]:
    """An rsyslogd that forwards the lines of a file; gives the file."""
    folder.mkdir()
    lines, config = folder / "app.log", folder / "rsyslog.conf"
    lines.touch()
    config.write_text(
        f'global(workDirectory="{folder}" {settings})\nmodule(load="imfile" mode="polling" pollingInterval="1")\n'
        f'input(type="imfile" file="{lines}" tag="app[7]:" severity="error" facility="local1")\n'
        f'action(type="omfwd" target="127.0.0.1" queue.type="LinkedList" action.resumeRetryCount="-1" '
        f'action.resumeInterval="1" {action})\n'
    )
    daemon = shutil.which("rsyslogd", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    assert daemon is not None, "the tests need the Debian package rsyslog"
    with (folder / "rsyslogd.log").open("wb") as log:
        command = [daemon, "-n", "-f", str(config), "-i", str(folder / "pid")]
        running = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
        try:
            yield lines
        finally:
            running.terminate()
            await asyncio.wait_for(running.wait(), 60)


FORMATS = ["RSYSLOG_TraditionalForwardFormat", "RSYSLOG_ForwardFormat", "RSYSLOG_SyslogProtocol23Format"]
WAYS = [("udp", ""), ("tcp", "traditional"), ("tcp", "octet-counted")]


@pytest.mark.parametrize("template", FORMATS)
@pytest.mark.parametrize(("transport", "framing"), WAYS)
async def test_rsyslog(transport: str, framing: str, template: str, tmp_path: Path) -> None:
    """Its three forwarding formats over UDP and in both framings of TCP."""
    intake = MemoryIntake()
    async with serving(syslog_source(f"{transport}://127.0.0.1:0"), intake) as (port,):
        tcp = f'TCP_Framing="{framing}"' if framing else ""
        action = f'port="{port}" protocol="{transport}" template="{template}" {tcp}'
        async with rsyslog(tmp_path / "rsyslog", action) as lines:
            lines.write_text("".join(f"line {number}\n" for number in range(200)))
            await intake.have(200)
    found = records(intake)
    assert [record["message"] for record in found] == [f"line {number}" for number in range(200)]
    for record in found:
        assert (record["app_name"], record["proc_id"]) == ("app", "7")
        assert (record["facility"], record["severity"]) == ("local1", "err")
        assert record["hostname"]
        assert abs(datetime.fromisoformat(record["timestamp"]).timestamp() - time.time()) < 60


@pytest.mark.parametrize("driver", ["gtls", "ossl"])
@pytest.mark.parametrize("mutual", [False, True])
async def test_rsyslog_over_tls(driver: str, mutual: bool, tmp_path: Path) -> None:
    """With both of its TLS libraries, and with a certificate of its own where ``client_ca`` asks for one."""
    authority = Authority(tmp_path)
    cert, key = authority.issue("collector", host="DNS:collector")
    own, own_key = authority.issue("edge")
    tls = ServerTls(cert=cert, key=key, client_ca=authority.cert if mutual else None)
    settings = f'defaultNetstreamDriverCAFile="{authority.cert}"'
    if mutual:
        settings += f' defaultNetstreamDriverCertFile="{own}" defaultNetstreamDriverKeyFile="{own_key}"'
    intake = MemoryIntake()
    async with serving(syslog_source("tls://127.0.0.1:0", tls=tls), intake) as (port,):
        action = (
            f'port="{port}" protocol="tcp" TCP_Framing="octet-counted" StreamDriver="{driver}" StreamDriverMode="1" '
            'StreamDriverAuthMode="x509/name" StreamDriverPermittedPeers="collector"'
        )
        async with rsyslog(tmp_path / "rsyslog", action, settings) as lines:
            lines.write_text("".join(f"line {number}\n" for number in range(200)))
            await intake.have(200)
    assert [record["message"] for record in records(intake)] == [f"line {number}" for number in range(200)]
