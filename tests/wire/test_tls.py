"""TLS between a real sink and a real source, with certificates of every kind."""

import asyncio
import io
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from support.certificates import Authority
from support.wire import DEADLINE, MemoryIntake, MemoryOutlet, collector, deliver, grpc_sink, items

from shipper.errors import SinkError
from shipper.sinks.grpc import GrpcSink
from shipper.wire.certificates import ClientTls, ServerTls
from shipper.wire.tls import ServerCertificates


@pytest.fixture(name="ca")
def _ca(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def server(ca: Authority, *, mutual: bool = False, **settings: Any) -> ServerTls:
    cert, key = ca.issue("server", **settings)
    return ServerTls(cert=cert, key=key, client_ca=ca.cert if mutual else None)


def sink_for(port: int, **tls: Any) -> GrpcSink:
    sink = GrpcSink(addresses=[f"127.0.0.1:{port}"], tls=ClientTls(**tls))
    sink.setup()
    return sink


async def refused(sink: GrpcSink) -> str:
    """Why a connection does not come about."""
    with pytest.raises(SinkError) as caught:
        await sink.connect(MemoryOutlet())
    await sink.close()
    return str(caught.value)


async def test_frames_travel_encrypted_and_with_certificates_of_both_sides(ca: Authority) -> None:
    cert, key = ca.issue("agent")
    intake = MemoryIntake()
    async with collector(intake, config={"tls": server(ca, mutual=True)}) as source:
        await deliver(sink_for(source.port, ca=ca.cert, cert=cert, key=key), MemoryOutlet(), items(1, 20))
    assert intake.numbers() == list(range(1, 21))


async def test_a_certificate_of_another_authority_is_said_to_be_that(ca: Authority, tmp_path: Path) -> None:
    async with collector(MemoryIntake(), config={"tls": server(ca)}) as source:
        why = await refused(sink_for(source.port, ca=Authority(tmp_path, "other").cert))
    assert "signed by an authority that is not trusted here: 'tls.ca' must hold" in why


async def test_an_expired_certificate_of_the_collector_is_said_to_be_that(ca: Authority) -> None:
    async with collector(MemoryIntake(), config={"tls": server(ca, expired=True)}) as source:
        assert "its certificate has expired" in await refused(sink_for(source.port, ca=ca.cert))


async def test_a_certificate_for_another_name_is_said_to_be_that(ca: Authority) -> None:
    async with collector(MemoryIntake(), config={"tls": server(ca, host="DNS:central.example")}) as source:
        assert "its certificate is for another name" in await refused(sink_for(source.port, ca=ca.cert))
        sink = sink_for(source.port, ca=ca.cert, server_name="central.example")
        assert await sink.connect(MemoryOutlet()) == 1
        await sink.close()


async def test_a_sender_without_a_certificate_hears_what_may_be_wrong(ca: Authority) -> None:
    async with collector(MemoryIntake(), config={"tls": server(ca, mutual=True)}) as source:
        assert "wants a certificate of this shipper ('tls.cert')" in await refused(sink_for(source.port, ca=ca.cert))


async def test_plain_meets_tls_and_tls_meets_plain(ca: Authority) -> None:
    async with collector(MemoryIntake(), config={"tls": server(ca)}) as source:
        assert "perhaps it wants TLS ('tls')" in await refused(grpc_sink(source.port))
    async with collector(MemoryIntake()) as source:
        assert "it does not speak TLS" in await refused(sink_for(source.port, ca=ca.cert))


async def test_a_renewed_certificate_is_used_without_a_restart(ca: Authority, tmp_path: Path) -> None:
    tls = server(ca)
    newer = tmp_path / "newer"
    newer.mkdir()
    other = Authority(newer)
    cert, key = other.issue("server")
    async with collector(MemoryIntake(), config={"tls": tls}, ack_interval=0.1) as source:
        old = sink_for(source.port, ca=ca.cert)
        assert await old.connect(MemoryOutlet()) == 1
        shutil.copy(key, tls.key)
        shutil.copy(cert, tls.cert)
        await until_refused(source.port, ca.cert)
        new = sink_for(source.port, ca=other.cert)
        assert await new.connect(MemoryOutlet(stream=b"n" * 16)) == 1
        for sink in (old, new):
            await sink.close()


def test_grpc_is_told_of_certificates_only_when_they_change(ca: Authority) -> None:
    """It asks at every handshake, puts what it is given in the place of what it has, and crashes when two do that at
    once.
    """
    tls = server(ca)
    certificates = ServerCertificates(tls)
    certificates.credentials()
    assert certificates.news() is None
    cert, key = ca.issue("newer")
    shutil.copy(key, tls.key)
    shutil.copy(cert, tls.cert)
    assert certificates.refresh()
    assert certificates.news() is not None
    assert certificates.news() is None


async def until_refused(port: int, ca: Path) -> None:
    """Wait until the port shows a certificate of another authority."""
    async with asyncio.timeout(DEADLINE):
        while True:
            sink = sink_for(port, ca=ca)
            try:
                await sink.connect(MemoryOutlet(stream=b"x" * 16))
            except SinkError:
                return
            finally:
                await sink.close()


async def test_the_sender_reads_its_files_at_every_connect(ca: Authority, tmp_path: Path) -> None:
    right = ca.cert.read_bytes()
    trusted = tmp_path / "trusted.pem"
    newer = tmp_path / "newer"
    newer.mkdir()
    trusted.write_bytes(Authority(newer).cert.read_bytes())
    async with collector(MemoryIntake(), config={"tls": server(ca)}) as source:
        sink = sink_for(source.port, ca=trusted)
        assert "not trusted" in await refused(sink)
        trusted.write_bytes(right)
        assert await sink.connect(MemoryOutlet()) == 1
        await sink.close()


@pytest.mark.parametrize("spoiled", ["cert", "key"])
def test_half_written_files_change_nothing_and_are_named_once(ca: Authority, lines: io.StringIO, spoiled: str) -> None:
    tls = server(ca)
    loaded = ServerCertificates(tls)
    before = loaded.material
    path: Path = getattr(tls, spoiled)
    path.write_bytes(path.read_bytes()[:100])
    for _ in range(3):
        assert not loaded.refresh()
    assert loaded.material is before
    assert lines.getvalue().count("the old ones stay in use") == 1
    assert str(path) in lines.getvalue()


def test_a_key_that_is_there_before_its_certificate_is_taken_with_it(ca: Authority, lines: io.StringIO) -> None:
    tls = server(ca)
    cert, key = ca.issue("next")
    loaded = ServerCertificates(tls)
    shutil.copy(key, tls.key)
    assert not loaded.refresh()
    shutil.copy(cert, tls.cert)
    assert loaded.refresh()
    assert loaded.material.key == key.read_bytes()


def test_what_cannot_be_used_is_a_sentence_about_the_file(ca: Authority, tmp_path: Path) -> None:
    cert, key = ca.issue("one")
    _, other = ca.issue("two")
    text = tmp_path / "text.pem"
    text.write_text("hello\n")
    for files, expected in [
        ((tmp_path / "none.pem", key), "none.pem: cannot be read: No such file or directory"),
        ((text, key), "text.pem: it holds no certificate"),
        ((cert, text), "text.pem: it holds no private key"),
        ((cert, other), "two.key: the key does not belong to the certificate .*one.pem"),
    ]:
        with pytest.raises(ValueError, match=expected):
            ServerCertificates(ServerTls(cert=files[0], key=files[1]))


def test_certificates_that_ended_or_end_soon_are_named_with_the_day(ca: Authority) -> None:
    assert ServerCertificates(server(ca)).cautions() == []
    (caution,) = ServerCertificates(ServerTls(**_pair(ca, "soon", days=5))).cautions()
    assert re.search(r"soon.pem: the certificate expires on \d{4}-\d\d-\d\d: renew it", caution)
    (caution,) = ServerCertificates(ServerTls(**_pair(ca, "past", expired=True))).cautions()
    assert caution.endswith("past.pem: the certificate expired on 2020-02-01: renew it")


def _pair(ca: Authority, name: str, **settings: Any) -> dict[str, Path]:
    cert, key = ca.issue(name, **settings)
    return {"cert": cert, "key": key}
