"""Tokens: the file, the command's functions, and what a token may do at a port."""

import asyncio
import io
import json
import os
import stat
import threading
from pathlib import Path

import pytest
from grpc import aio
from support.synced import Power
from support.wire import DEADLINE, STREAM, MemoryIntake, RawSender, collector, frame, until

from shipper.v1 import ingest_pb2 as pb
from shipper.wire.server import log_refused
from shipper.wire.tokens import Tokens, TokensError, add, digest_of, forget, read

OTHER = b"o" * 16


@pytest.fixture(name="path")
def _path(tmp_path: Path) -> Path:
    return tmp_path / "tokens"


def test_the_file_holds_no_token_and_only_its_user_reads_it(path: Path) -> None:
    token = add(path, "shop", "2026-01-31")
    assert len(token) == 4 + 43
    text = path.read_text()
    assert token not in text
    assert json.loads(text)["tokens"][0] == {
        "principal": "shop",
        "sha256": digest_of(token).hex(),
        "created": "2026-01-31",
    }
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_a_token_is_good_until_it_is_forgotten(path: Path) -> None:
    first, second = add(path, "shop", "d"), add(path, "shop", "d")
    third = add(path, "bank", "d")
    tokens = Tokens(path)
    assert [tokens.principal(digest_of(token)) for token in (first, second, third)] == ["shop", "shop", "bank"]
    assert tokens.principal(digest_of("shp_guess")) is None
    assert not tokens.refresh()
    forget(path, digest_of(first).hex()[:8])
    assert tokens.refresh()
    assert [tokens.principal(digest_of(token)) for token in (first, second)] == [None, "shop"]
    assert [token.principal for token in forget(path, "shop")] == ["shop"]
    assert [token.principal for token in read(path)] == ["bank"]


def test_owner_group_and_mode_of_the_file_stay_what_they_were(path: Path) -> None:
    """A collector that reads the file through its group, ``root:shipper-collector 0640``, goes on reading it."""
    add(path, "shop", "d")
    group = 4711 if os.geteuid() == 0 else os.getgroups()[-1]
    os.chown(path, -1, group)
    for mode in (0o640, 0o600, 0o644):
        path.chmod(mode)
        for edit in (lambda: add(path, "bank", "d"), lambda: forget(path, "bank")):
            edit()
            found = path.stat()
            assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (mode, os.geteuid(), group)


def test_what_was_added_and_forgotten_stays_so_in_a_power_cut(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a token that somebody was given is unknown, or one that was taken away is good again."""
    power = Power(monkeypatch, path.parent)
    token = add(path, "shop", "d")
    power.cut()
    assert Tokens(path).principal(digest_of(token)) == "shop"
    add(path, "bank", "d")
    forget(path, "shop")
    power.cut()
    assert [token.principal for token in read(path)] == ["bank"]


def test_two_who_add_at_once_lose_nothing(path: Path) -> None:
    made = [threading.Thread(target=add, args=(path, f"p{number}", "d")) for number in range(16)]
    for thread in made:
        thread.start()
    for thread in made:
        thread.join()
    assert sorted(token.principal for token in read(path)) == sorted(f"p{number}" for number in range(16))


def test_a_file_that_cannot_be_used_leaves_the_tokens_good(path: Path, lines: io.StringIO) -> None:
    token = add(path, "shop", "d")
    tokens = Tokens(path)
    path.write_text('{"version": 1, "tokens": [')
    for _ in range(3):
        assert not tokens.refresh()
    assert tokens.principal(digest_of(token)) == "shop"
    assert lines.getvalue().count("the tokens read before stay good") == 1


@pytest.mark.parametrize("text", ["", "[]", '{"version": 2, "tokens": []}', '{"tokens": [{"principal": "x"}]}',
                                  '{"tokens": [{"principal": "x", "sha256": "zz", "created": ""}]}'])  # fmt: skip
def test_what_is_no_tokens_file_is_never_written_over(path: Path, text: str) -> None:
    path.write_text(text)
    with pytest.raises(TokensError):
        add(path, "shop", "d")
    with pytest.raises(ValueError, match="tokens"):
        Tokens(path)
    assert path.read_text() == text


def test_names_that_are_none_are_refused(path: Path) -> None:
    for name in ("", "a b", "-x", "x" * 101, "ü"):
        with pytest.raises(TokensError, match="is no name"):
            add(path, name, "d")
    assert not path.exists()


async def test_without_a_good_token_nothing_is_said_about_a_stream(path: Path) -> None:
    add(path, "shop", "d")
    async with collector(MemoryIntake(), config={"tokens": path}) as source:
        for token in ("", "shp_wrong"):
            async with RawSender(source.port, token) as sender:
                refused = await sender.refused()  # without a Hello
                assert refused.reason == pb.Refused.UNAUTHENTICATED
                assert "wrong" not in refused.text


async def test_a_stream_belongs_to_whose_token_first_used_it_also_after_a_restart(
    path: Path, lines: io.StringIO
) -> None:
    shop, bank = add(path, "shop", "d"), add(path, "bank", "d")
    intake = MemoryIntake()
    for _ in range(2):
        async with collector(intake, config={"tokens": path}) as source:
            async with RawSender(source.port, shop) as sender:
                await sender.hello()
            async with RawSender(source.port, shop) as sender:
                await sender.hello(stream=OTHER)
            async with RawSender(source.port, bank) as sender:
                await sender.send(pb.ShipRequest(hello=_hello()))
                refused = await sender.refused()
                assert refused.reason == pb.Refused.UNAUTHENTICATED
                assert refused.text == f"stream {STREAM.hex()} belongs to shop, and the token to bank"
    assert intake.state == {f"owner/{STREAM.hex()}": b"shop", f"owner/{OTHER.hex()}": b"shop"}
    assert lines.getvalue().count("belongs to shop, and the token to bank") == 1


async def test_every_kind_of_refusal_behind_one_address_shows_once_a_minute(path: Path, lines: io.StringIO) -> None:
    shop, bank, site = (add(path, name, "d") for name in ("shop", "bank", "site-7"))
    async with collector(MemoryIntake(), config={"tokens": path}) as source:
        async with RawSender(source.port, shop) as sender:
            await sender.hello()
        for token in ("", "shp_wrong", bank, site) * 2:
            async with RawSender(source.port, token) as sender:
                if token in (bank, site):
                    await sender.send(pb.ShipRequest(hello=_hello()))
                await sender.refused()
    said = [json.loads(line) for line in lines.getvalue().splitlines()]
    refused = [line for line in said if line["msg"] == "a connection was refused"]
    assert [(line["reason"], line.get("principal"), line.get("stream")) for line in refused] == [
        ("UNAUTHENTICATED", None, None),
        ("UNAUTHENTICATED", None, None),
        ("UNAUTHENTICATED", "bank", STREAM.hex()),
        ("UNAUTHENTICATED", "site-7", STREAM.hex()),
    ]


def test_one_host_writes_few_lines_a_minute_however_many_streams_it_makes_up(lines: io.StringIO) -> None:
    for number in range(1000):
        stream = number.to_bytes(16, "big").hex()
        log_refused(f"ipv4:10.0.0.7:{number}", "DIVERGED", f"frame {number} of {stream} is another", stream=stream)
    assert 2 <= len(lines.getvalue().splitlines()) <= 16


async def test_no_welcome_before_the_owner_is_durable(path: Path) -> None:
    token = add(path, "shop", "d")
    intake = MemoryIntake(hold=True)
    async with collector(intake, config={"tokens": path}) as source, RawSender(source.port, token) as sender:
        await sender.send(pb.ShipRequest(hello=_hello()))
        await until(lambda: intake.notes, "the owner is noted")
        answer = asyncio.ensure_future(sender.expect("welcome"))
        await asyncio.wait([answer], timeout=0.2)
        assert not answer.done()
        intake.notes[0].durable.set_result(0)
        await answer


async def test_a_revoked_token_ends_its_connections_and_no_others(path: Path) -> None:
    shop, bank = add(path, "shop", "d"), add(path, "bank", "d")
    intake = MemoryIntake()
    async with (
        collector(intake, config={"tokens": path}, ack_interval=0.1) as source,
        RawSender(source.port, shop) as ended,
        RawSender(source.port, bank) as other,
    ):
        await ended.hello()
        await other.hello(stream=OTHER)
        forget(path, "shop")
        refused = await ended.refused()
        assert (refused.reason, refused.text) == (pb.Refused.UNAUTHENTICATED, "a token of shop was revoked")
        await other.frames(1, [frame(1, stream=OTHER)])
        await other.acked(2)


async def test_a_principal_has_no_more_streams_than_it_may(path: Path) -> None:
    token = add(path, "shop", "d")
    async with collector(MemoryIntake(), config={"tokens": path, "max_streams_per_principal": 1}) as source:
        for stream, expected in ((STREAM, None), (STREAM, None), (OTHER, pb.Refused.OVERLOADED)):
            async with RawSender(source.port, token) as sender:
                if expected is None:
                    await sender.hello(stream=stream)
                else:
                    await sender.send(pb.ShipRequest(hello=_hello(stream)))
                    assert (await sender.refused()).reason == expected


async def test_one_host_has_no_more_connections_than_it_may() -> None:
    async with collector(MemoryIntake(), config={"max_connections_per_peer": 1}) as source:
        async with RawSender(source.port) as first:
            await first.hello()
            async with RawSender(source.port) as second:
                refused = await second.refused()
                assert refused.reason == pb.Refused.OVERLOADED
                assert "1 connections from 127.0.0.1" in refused.text
        async with asyncio.timeout(DEADLINE):
            # until the collector knows that the first has gone
            while not await _is_welcome(source.port):  # noqa: ASYNC110 - what the collector says, not an event
                await asyncio.sleep(0.01)


async def _is_welcome(port: int) -> bool:
    try:
        async with RawSender(port) as sender:
            await sender.hello(stream=OTHER)
    except (AssertionError, aio.AioRpcError):  # refused; or that was before the Hello was out
        return False
    return True


def _hello(stream: bytes = STREAM) -> pb.Hello:
    return pb.Hello(stream=stream, epoch=1, incarnation=b"i" * 16, protocol=1, floor=1)
