"""The demo's judge must not be fooled, its proxy must really cut, its view must fit its stream."""

import asyncio
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.until import until

from shipper.demo.lines import KINDS, Kind
from shipper.demo.proxy import Proxy
from shipper.demo.verify import Counter, Tally, verify
from shipper.demo.view import Numbers, View, size

APP, ACCESS = KINDS
NOW = 1_780_000_000.25


def _delivered(kind: Kind, number: int) -> dict[str, Any]:
    """The record of a line as the collector's file sink writes it."""
    line = kind.make(number, NOW)
    record: dict[str, Any] = orjson.loads(line) if kind is APP else {"message": line[:-1].decode()}
    return {"host": "here", "source": kind.name} | record


def _judge(folder: Path, kind: Kind, records: list[dict[str, Any]], written: int) -> Tally:
    path = folder / "delivered.ndjson"
    path.write_bytes(b"".join(orjson.dumps(record) + b"\n" for record in records))
    return verify(path, kind, written)


@pytest.mark.parametrize("kind", KINDS)
def test_what_arrived_whole_is_well(tmp_path: Path, kind: Kind) -> None:
    tally = _judge(tmp_path, kind, [_delivered(kind, n) for n in range(50)], 50)
    assert tally == Tally(kind.name, written=50, delivered=50)
    assert tally.well


@pytest.mark.parametrize("kind", KINDS)
def test_lost_doubled_and_disordered_lines_are_counted(tmp_path: Path, kind: Kind) -> None:
    records = [_delivered(kind, n) for n in (0, 1, 1, 3, 2, 6)]
    tally = _judge(tmp_path, kind, records, 8)
    assert tally == Tally(kind.name, written=8, delivered=6, lost=3, doubled=1, altered=0, in_order=False)
    assert not tally.well


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_delivered_is_everything_lost(tmp_path: Path, kind: Kind) -> None:
    assert verify(tmp_path / "missing", kind, 5).lost == 5


@settings(deadline=None)
@given(st.sampled_from(KINDS), st.integers(0, 10**6), st.data())
def test_any_change_of_any_value_is_seen(kind: Kind, number: int, data: st.DataObject) -> None:
    record = _delivered(kind, number)
    assert kind.identify(record) == (number, True)
    name = data.draw(st.sampled_from(sorted(set(record) - {"host", "source"})))
    before = record[name]
    if isinstance(before, str):
        at = data.draw(st.integers(0, len(before) - 1))
        changed: Any = before[:at] + data.draw(st.characters(codec="utf-8")) + before[at + 1 :]
    else:
        changed = data.draw(st.none() | st.integers() | st.just({}))
    if changed != before:
        assert kind.identify(record | {name: changed}) != (number, True)


@pytest.mark.parametrize(
    "change",
    [lambda r: r | {"id": 10**9}, lambda r: {"message": "made up"}, lambda r: [r], lambda r: r | {"id": -1}],
)
def test_what_was_never_written_is_altered(tmp_path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    tally = _judge(tmp_path, APP, [change(_delivered(APP, 0))], 1)
    assert (tally.altered, tally.lost) == (1, 1)


def test_a_torn_record_is_altered(tmp_path: Path) -> None:
    path = tmp_path / "torn"
    path.write_bytes(orjson.dumps(_delivered(APP, 0))[:-5] + b"\n")
    assert verify(path, APP, 1).altered == 1


def test_the_counter_reads_on_and_starts_again_when_the_file_was_cut_back(tmp_path: Path) -> None:
    path = tmp_path / "file"
    counter = Counter(path)
    assert counter.look() == 0
    path.write_bytes(b"a\nb\nc")
    assert counter.look() == 2
    with path.open("ab") as file:
        file.write(b"\nd\n")
    assert counter.look() == 4
    path.write_bytes(b"a\n")
    assert counter.look() == 1
    path.unlink()
    assert counter.look() == 0


async def test_the_proxy_passes_bytes_and_a_cut_breaks_open_and_new_connections() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(1000):
            writer.write(chunk)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    proxy = Proxy(server.sockets[0].getsockname()[1])
    port = await proxy.start()

    async def asked() -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(b"hello")
            return await asyncio.wait_for(reader.read(100), 20)
        except ConnectionError:
            return b"reset"
        finally:
            writer.close()

    assert await asked() == b"hello"
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"x")
    assert await reader.read(1) == b"x"
    await until(lambda: len(proxy._open) == 1)
    assert proxy.cut() == 1
    with pytest.raises(ConnectionError):
        await asyncio.wait_for(reader.read(), 20)
    writer.close()
    assert await asked() in {b"reset", b""}
    proxy.mend()
    assert await asked() == b"hello"
    server.close()
    await server.wait_closed()
    assert await asked() in {b"reset", b""}, "the far side is not there"
    await proxy.close()
    await Proxy(1).close()


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


NUMBERS = Numbers(1000, 500, 400, 2048, 250, 1.5, link_cut=True, collector_up=False)


def test_on_a_terminal_the_numbers_are_drawn_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.delenv("NO_COLOR", raising=False)
    terminal = _Terminal()
    view = View(terminal)
    view.show(NUMBERS)
    first = terminal.getvalue()
    assert "2.0 KiB in the spool, oldest 1.5 s" in first
    assert "250 behind" in first
    assert "cut" in first
    view.show(NUMBERS)
    assert f"\x1b[{first.count(chr(10))}A\r\x1b[J" in terminal.getvalue()
    view.event("something happened")
    view.close()
    assert terminal.getvalue().endswith("\x1b[?25h"), "the cursor is there again"


@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colours_can_be_switched_off(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    terminal = _Terminal()
    view = View(terminal)
    view.show(NUMBERS)
    view.table([Tally("app", 3, 2, lost=1, in_order=False)])
    assert "\x1b[3" not in terminal.getvalue()


@pytest.mark.parametrize("columns", [60, 72, 80, 100, 200])
def test_no_line_of_the_block_is_wider_than_the_terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    """A line that wraps would make the next redraw begin in the wrong row."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("NO_COLOR", "1")
    terminal = _Terminal()
    view = View(terminal)
    view.show(NUMBERS)
    drawn = terminal.getvalue().removeprefix("\x1b[?25l")
    assert max(map(len, drawn.split("\n"))) < columns
    assert bool(drawn) == (columns >= 72), "where it does not fit there is a line now and then"


def test_the_table_shows_what_is_wrong() -> None:
    stream = io.StringIO()
    View(stream).table([Tally("app", 1234, 1233, lost=2, doubled=1, in_order=False)])
    assert stream.getvalue().splitlines()[1].split() == ["app", "1,234", "1,233", "2", "1", "0", "NO"]


def test_sizes_are_for_people() -> None:
    assert [size(n) for n in (0, 1023, 1536, 5 << 20, 3 << 30)] == ["0 B", "1023 B", "1.5 KiB", "5.0 MiB", "3.0 GiB"]
