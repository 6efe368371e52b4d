"""The syslog source over TLS: who comes in, who is told why not, and how it ends."""

import asyncio
import os
import ssl
from pathlib import Path

import pytest
from support.certificates import Authority
from support.intake import MemoryIntake
from support.syslog import closed, connect, messages, records, refused, send, serving, syslog_source
from support.until import until

from shipper.sources.syslog import connection as one_connection
from shipper.wire.certificates import ServerTls


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def tls_connection(port: int, context: ssl.SSLContext) -> asyncio.StreamWriter:
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    return writer


async def test_who_speaks_no_tls_is_told_apart_and_others_go_on(
    authority: Authority, capfd: pytest.CaptureFixture[str]
) -> None:
    """Plain syslog, HTTP, rubbish, silence, and a client that does not trust the certificate."""
    cert, key = authority.issue("collector")
    intake = MemoryIntake()
    source = syslog_source("tls://127.0.0.1:0", tls=ServerTls(cert=cert, key=key))
    async with serving(source, intake) as (port,):
        for number, data in enumerate((b"<13>plain\n", b"GET / HTTP/1.1\r\n\r\n", bytes(1000)), 1):
            connection = await connect(port)
            await send(connection, data)
            await until(lambda number=number: refused(intake, "HANDSHAKE") == number)  # type: ignore[misc]
            connection.close()
        with pytest.raises(ssl.SSLCertVerificationError):
            await tls_connection(port, ssl.create_default_context())
        await until(lambda: refused(intake, "HANDSHAKE") == 4)
        writer = await tls_connection(port, ssl.create_default_context(cafile=str(authority.cert)))
        writer.write(b"<13>encrypted\n")
        await intake.have(1)
        writer.transport.abort()
    assert messages(intake) == ["encrypted"]
    assert "it does not speak TLS" in capfd.readouterr().err


async def test_a_handshake_that_is_not_ended_is_cut(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_connection, "_HANDSHAKE_TIME", 0.2)
    cert, key = authority.issue("collector")
    intake = MemoryIntake()
    async with serving(syslog_source("tls://127.0.0.1:0", tls=ServerTls(cert=cert, key=key)), intake) as (port,):
        silent, slow = await connect(port), await connect(port)
        await send(slow, b"\x16\x03\x01")
        assert await closed(silent)
        assert await closed(slow)
        silent.close()
        slow.close()
    assert refused(intake, "HANDSHAKE") == 2
    assert intake.records() == []


async def test_with_client_ca_only_senders_with_a_certificate_come_in(authority: Authority, tmp_path: Path) -> None:
    """One that the authority signed; the other sender learns why."""
    cert, key = authority.issue("collector")
    tls = ServerTls(cert=cert, key=key, client_ca=authority.cert)
    (tmp_path / "other").mkdir()
    stranger = Authority(tmp_path / "other").issue("stranger")
    intake = MemoryIntake()
    async with serving(syslog_source("tls://127.0.0.1:0", tls=tls), intake) as (port,):
        for number, pair in enumerate((None, stranger), 1):
            context = ssl.create_default_context(cafile=str(authority.cert))
            if pair is not None:
                context.load_cert_chain(*pair)
            reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
            writer.write(b"<13>stranger\n")
            with pytest.raises((ssl.SSLError, ConnectionError)):
                await reader.readexactly(1)
            writer.transport.abort()
            await until(lambda number=number: refused(intake, "HANDSHAKE") == number)  # type: ignore[misc]
        context = ssl.create_default_context(cafile=str(authority.cert))
        context.load_cert_chain(*authority.issue("agent"))
        writer = await tls_connection(port, context)
        writer.write(b"<13>friend\n")
        await intake.have(1)
        writer.transport.abort()
    assert messages(intake) == ["friend"]


async def test_a_renewed_certificate_is_used_without_a_restart(authority: Authority, tmp_path: Path) -> None:
    """From the next connection on; half a renewal changes nothing."""
    cert, key = authority.issue("collector")
    intake = MemoryIntake()

    async def name() -> str:
        writer = await tls_connection(port, ssl.create_default_context(cafile=str(authority.cert)))
        subject = dict(pair[0] for pair in writer.get_extra_info("peercert")["subject"])
        writer.transport.abort()
        return str(subject["commonName"])

    async with serving(syslog_source("tls://127.0.0.1:0", tls=ServerTls(cert=cert, key=key)), intake) as (port,):
        assert await name() == "collector"
        newer, newer_key = authority.issue("renewed")
        os.replace(newer, cert)
        await asyncio.sleep(0.2)
        assert await name() == "collector"
        os.replace(newer_key, key)
        async with asyncio.timeout(60):
            while await name() != "renewed":
                pass
    assert intake.metrics.value("shipper_source_certificate_ends_seconds", source="app") > 0


async def test_tls_that_ends_without_a_goodbye_marks_what_it_cut(authority: Authority) -> None:
    """A line without its newline is whole only where the sender said that this was all."""
    cert, key = authority.issue("collector")
    intake = MemoryIntake()
    async with serving(syslog_source("tls://127.0.0.1:0", tls=ServerTls(cert=cert, key=key)), intake) as (port,):
        for end in ("goodbye", "abort"):
            writer = await tls_connection(port, ssl.create_default_context(cafile=str(authority.cert)))
            writer.write(b"<13>whole\n<13>" + end.encode())
            await writer.drain()
            await intake.until(lambda end=end: len(intake.records()) >= (1 if end == "goodbye" else 3))  # type: ignore[misc]
            if end == "goodbye":
                writer.close()
                await intake.have(2)
            else:
                writer.transport.abort()
        await intake.have(4)
    assert [record["message"] for record in records(intake) if record.get("truncated")] == ["abort"]
