"""lookup."""

import gc
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shipper import ByteSize, Processor
from shipper.chain.run import Chain
from shipper.log import configure
from shipper.testing import Line, ProcessorConformance, RunChain, run_batch, start_chain
from shipper_processors.lookup import Lookup

TABLE = 'service,team,tier\npay,payments,1\nweb,"front, end",2\n7,seven,\n'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A table in CSV."""
    (tmp_path / "teams.csv").write_text(TABLE)
    return tmp_path / "teams.csv"


class TestConformance(ProcessorConformance):
    """With a table and a default."""

    lines = ({"service": "pay"}, {"service": "x", "team": "y"}, {"service": 7}, {}, {"service": ["pay"]})

    @pytest.fixture(autouse=True)
    def table(self, path: Path) -> None:
        """The table that ``make`` names."""
        self.path = path

    def make(self) -> Processor:
        """As a config would make it."""
        return Lookup(file=self.path, field="service", default={"team": "unknown"})


def added(run_chain: RunChain, file: Path, records: list[Any], **settings: Any) -> list[Any]:
    """What becomes of the records."""
    return run_chain(Lookup(file=file, **({"field": "service"} | settings)), records).records


def test_the_columns_of_the_row_are_added(run_chain: RunChain, path: Path) -> None:
    records: list[Line] = [{"service": "pay", "n": 1}, {"service": "web"}, {"service": "other"}, {"n": 2}]
    assert added(run_chain, path, records) == [
        {"service": "pay", "n": 1, "team": "payments", "tier": "1"},
        {"service": "web", "team": "front, end", "tier": "2"},
        {"service": "other"},
        {"n": 2},
    ]


def test_only_some_columns_with_a_prefix_and_a_default(run_chain: RunChain, path: Path) -> None:
    settings: dict[str, Any] = {"columns": ["team"], "prefix": "svc_", "default": {"svc_team": None}}
    records: list[Line] = [{"service": "pay"}, {"service": "x"}, {}]
    assert added(run_chain, path, records, **settings) == [
        {"service": "pay", "svc_team": "payments"},
        {"service": "x", "svc_team": None},
        {"svc_team": None},
    ]


def test_fields_that_are_there_stay_unless_it_says_overwrite(run_chain: RunChain, path: Path) -> None:
    record: Line = {"service": "pay", "team": "mine"}
    assert added(run_chain, path, [record])[0]["team"] == "mine"
    assert added(run_chain, path, [record], overwrite=True)[0]["team"] == "payments"


def test_whole_numbers_nested_fields_and_labels_are_keys_too(run_chain: RunChain, path: Path) -> None:
    assert added(run_chain, path, [{"service": 7}])[0]["team"] == "seven"
    assert added(run_chain, path, [{"a": {"b": "pay"}}], field="a.b")[0]["team"] == "payments"
    labelled = run_chain(Lookup(file=path, field="service"), ["x"], labels={"service": "pay"}).records
    assert labelled == [{"message": "x", "team": "payments", "tier": "1"}]
    for other in (True, 7.0, None, ["pay"]):
        assert added(run_chain, path, [{"service": other}]) == [{"service": other}]


def test_any_column_can_hold_the_key(run_chain: RunChain, path: Path) -> None:
    assert added(run_chain, path, [{"t": "payments"}], field="t", column="team") == [
        {"t": "payments", "service": "pay", "tier": "1"}
    ]


def test_a_table_may_be_json(run_chain: RunChain, tmp_path: Path) -> None:
    file = tmp_path / "table.json"
    file.write_text(json.dumps({"a": {"n": 1, "l": [1]}, "b": {"m": None}, "c": 5}))
    records: list[Line] = [{"k": "a"}, {"k": "b"}, {"k": "c"}]
    expected = [{"k": "a", "n": 1, "l": [1]}, {"k": "b", "m": None}, {"k": "c", "value": 5}]
    assert added(run_chain, file, records, field="k") == expected
    file.write_text(json.dumps([{"id": 1, "n": "x"}, {"id": "b", "n": "y"}, {"id": None, "n": "z"}]))
    assert added(run_chain, file, [{"k": 1}, {"k": "b"}, {}], field="k", column="id") == [
        {"k": 1, "n": "x"},
        {"k": "b", "n": "y"},
        {},
    ]


def test_what_a_record_got_is_its_own(run_chain: RunChain, tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text('{"a": {"l": [1]}}')
    processor = Lookup(file=tmp_path / "t.json", field="k")
    processor.setup()
    first, second = processor.process_batch([{"k": "a"}, {"k": "a"}])
    first["l"].append(2)
    assert second["l"] == [1]


class Watched:
    """A lookup whose clock is set by hand, in a chain, and what was logged."""

    def __init__(self, path: Path, log: Path) -> None:
        self.now = self.time_of_day = 0.0
        self._log = log
        watched = self

        class Timed(Lookup):
            """With a clock of the test."""

            @staticmethod
            def seconds() -> float:
                return watched.now

            @staticmethod
            def time_of_day() -> float:
                return watched.time_of_day

        self.chain: Chain = start_chain([Timed(file=path, field="service", columns=["team"])])

    def team(self, after: float = 1.0) -> Any:
        """The team of ``pay``, so many seconds later."""
        self.now += after
        return run_batch(self.chain, [{"service": "pay"}]).records[0].get("team")

    def logged(self) -> list[str]:
        """What was said so far: problems, or the message of what is none."""
        lines = map(json.loads, self._log.read_text().splitlines())
        return [line.get("problem", line["msg"]) for line in lines if line["processor"] == "timed"]


@pytest.fixture
def watched(path: Path, tmp_path: Path) -> Iterator[Watched]:
    """It looks at the table ``path``."""
    with (tmp_path / "log").open("w") as stream:
        configure(stream=stream, force_json=True)
        yield Watched(path, tmp_path / "log")
        configure()


def replace(path: Path, text: str) -> None:
    """A new file in the place of the old one."""
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").replace(path)


def test_a_table_that_changed_is_read_again(watched: Watched, path: Path) -> None:
    replace(path, TABLE.replace("payments", "billing"))
    assert watched.team(0.9) == "payments"
    assert watched.team(0.1) == "payments"  # it may still be written to
    assert watched.team() == "billing"
    assert watched.logged() == ["table read again"]


def test_a_table_that_changed_long_ago_counts_for_the_next_record(watched: Watched, path: Path) -> None:
    replace(path, TABLE.replace("payments", "billing"))
    watched.time_of_day = path.stat().st_mtime + 2
    assert watched.team(3600) == "billing"


def test_a_table_that_is_still_written_to_is_not_read(watched: Watched, path: Path) -> None:
    path.write_text("service,team\npay,half\n")
    assert watched.team() == "payments"
    path.write_text("service,team\npay,whole\nweb,whole\n")
    assert watched.team() == "payments"
    assert watched.team() == "whole"


def test_a_table_that_vanishes_stays_in_use_and_it_is_said_once(watched: Watched, path: Path) -> None:
    path.rename(path.with_suffix(".away"))
    assert [watched.team() for _ in range(3)] == ["payments"] * 3
    assert watched.logged() == [f"the table {path} cannot be read: No such file or directory"]
    replace(path, TABLE.replace("payments", "billing"))
    assert [watched.team() for _ in range(2)] == ["payments", "billing"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("service,team\npay\n", "line 2 has 1 fields, the first line names 2"),
        ("service,tier\npay,1\n", "it has no column team; there are tier"),
        ("", "its first line must name at least two columns"),
        ('service,team\n"pay', "unexpected end of data"),
        ("service,team\npay,\udcff\n", "it is not UTF-8"),
    ],
)
def test_a_broken_table_is_not_taken_and_it_is_said_once(watched: Watched, path: Path, text: str, why: str) -> None:
    path.write_text(text, "utf-8", "surrogateescape")
    assert [watched.team() for _ in range(4)] == ["payments"] * 4
    (said,) = watched.logged()
    assert f"the table {path} cannot be used: {why}" in said
    replace(path, TABLE.replace("payments", "billing"))
    assert [watched.team() for _ in range(2)] == ["payments", "billing"]


def test_a_broken_table_that_is_put_back_is_taken_for_what_it_was(watched: Watched, path: Path) -> None:
    os.link(path, path.with_suffix(".kept"))
    replace(path, "broken")
    assert [watched.team() for _ in range(2)] == ["payments"] * 2
    path.with_suffix(".kept").replace(path)
    assert [watched.team() for _ in range(2)] == ["payments"] * 2
    assert len(watched.logged()) == 1


def test_sources_share_a_table_and_give_it_back(path: Path) -> None:
    first, second = Lookup(file=path, field="service"), Lookup(file=path, field="other")
    first.setup()
    second.setup()
    assert first.table is second.table is not None
    first.teardown()
    second.teardown()
    gc.collect()
    assert first.table is None


@pytest.mark.parametrize(
    ("text", "settings", "problem"),
    [
        (None, {}, "cannot be read: No such file"),
        ("k,a\nx,1\n", {"column": "b"}, "it has no column b; there are k, a"),
        ("k,a\nx,1\n", {"columns": ["c"]}, "it has no column c; there are a"),
        ("k,k\nx,1\n", {}, "each of them once"),
        ("[1]", {"format": "json"}, "an object with a row for each key"),
        ("[{}]", {"format": "json"}, "an object with a row for each key"),
        ("{", {"format": "json"}, "Input data was truncated"),
        ("k,a\n" + "x,1\n" * 100, {"max_bytes": ByteSize(300)}, "the file has 404 bytes, which is more than max_bytes"),
        ("k,a\n" + "x,1\n" * 50, {"max_bytes": ByteSize(900)}, "it takes more than 900 bytes of memory"),
        ("k,a\nx,1\n", {"field": "a..b"}, "is not a field's name"),
    ],
)
def test_a_table_that_cannot_be_used_is_a_config_error(
    tmp_path: Path, text: str | None, settings: dict[str, Any], problem: str
) -> None:
    if text is not None:
        (tmp_path / "t.csv").write_text(text)
    with pytest.raises(ValueError, match=problem):
        Lookup(**{"file": tmp_path / "t.csv", "field": "k", **settings}).setup()


def test_the_format_must_be_known(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"table\.txt ends with neither \.csv nor \.json"):
        Lookup(file=tmp_path / "table.txt", field="k").setup()


def test_a_large_table_takes_no_more_memory_than_it_may(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("k,a,b\n" + "".join(f"{n},value of {n},same\n" for n in range(5000)))
    lookup = Lookup(file=tmp_path / "t.csv", field="k", max_bytes=ByteSize(4 * 1024 * 1024))
    lookup.setup()
    assert lookup.table is not None
    assert len(lookup.table.rows) == 5000
    first, last = lookup.table.rows["0"], lookup.table.rows["4999"]
    assert first["b"] is last["b"]
