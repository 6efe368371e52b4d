"""The token that goes with every call: where it comes from, and when it is read."""

from pathlib import Path

import pytest
from support.wire import MemoryIntake, MemoryOutlet, collector, items, until

from shipper.errors import SinkError, SinkUnavailable
from shipper.sinks.grpc import GrpcSink
from shipper.wire.door import Door
from shipper.wire.tokens import add, digest_of, forget


async def test_a_token_file_is_read_at_each_connect_so_that_tokens_change_without_a_restart(tmp_path: Path) -> None:
    known, mine = tmp_path / "tokens", tmp_path / "token"
    mine.write_text(add(known, "shop", "d") + "\n")
    outlet = MemoryOutlet()
    async with collector(MemoryIntake(), config={"tokens": known}, ack_interval=0.1) as source:
        sink = _sink(source.port, mine)
        await sink.connect(outlet)
        forget(known, "shop")
        with pytest.raises(SinkError, match="a token of shop was revoked"):
            await sink.broken()
        mine.unlink()
        with pytest.raises(SinkUnavailable, match=f"token_file: {mine}: cannot be read: No such file or directory"):
            await sink.connect(outlet)
        mine.write_text(f"  {add(known, 'shop', 'd')}\r\n")
        new = digest_of(mine.read_text().strip())
        await until(lambda: source._tokens is not None and source._tokens.principal(new), "the collector knows it")
        await sink.connect(outlet)
        await sink.send(items(1, 1))
        await outlet.reach(2)
        await sink.close()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, "cannot be read: No such file or directory"),
        ("\n", "is empty"),
        ("shp_secret and more", "it holds a blank"),
        ("shp_secret\nshp_other\n", "a line break"),
        ("shp_secretä", "letters beyond ASCII"),
    ],
)
def test_a_file_that_holds_no_token_is_a_sentence_about_it_that_shows_nothing_of_it(
    tmp_path: Path, content: str | None, expected: str
) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=expected) as caught:
        _sink(1, path)
    assert str(path) in str(caught.value)
    assert "secret" not in str(caught.value).replace(str(tmp_path), "")


def test_token_and_token_file_together_are_one_too_many(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="token, token_file: set one of them, not both"):
        Door(token="shp_x", token_file=tmp_path / "token")


def test_a_sink_shown_in_a_message_does_not_show_its_token() -> None:
    sink = GrpcSink(addresses=["a:1", "b:2"], token="shp_secret")
    sink.setup()
    assert f"{sink} {sink!r} {sink.describe()}".count("shp_") == 0
    assert repr(sink) == "GrpcSink(a:1, b:2)"


def test_a_token_file_without_tls_is_warned_of(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("shp_x\n")
    text = "is sent without TLS: whoever reads the network on the way can use it"
    assert _sink(1, path).cautions() == [("token_file", text)]


def _sink(port: int, token_file: Path) -> GrpcSink:
    sink = GrpcSink(addresses=[f"127.0.0.1:{port}"], token_file=token_file)
    sink.setup()
    return sink
