"""Records that fail and go on: what is said of them, in the record and in the log."""

import re
from typing import Any, NamedTuple

import pytest

from shipper.batch import Batch, Payload, Record, SourceRange
from shipper.chain.decode import records_of
from shipper.chain.run import Chain
from shipper.log import configure
from shipper.processor import Processor
from shipper_processors.parse_regex import ParseRegex


class Spec(NamedTuple):
    """A processor of a config, with its line."""

    name: str
    processor: Processor
    place: str


class Leaves(Processor):
    """Leaves behind what cannot be written as JSON."""

    def process(self, record: Record) -> Record:
        """In every record."""
        return {**record, "odd": object()}


class Refuses(Processor):
    """Refuses what begins with x."""

    def process(self, record: Record) -> Record:
        """One at a time."""
        if str(record["message"]).startswith("x"):
            raise ValueError("it begins with x")
        return record


def ran(chain: Chain, *lines: bytes) -> list[Any]:
    """The records that come of raw lines."""
    payload = Payload.lines(b"".join(line + b"\n" for line in lines))
    span = SourceRange("app", b"", 0, 9, read=len(lines), kept=len(lines))
    return records_of(chain.run(Batch("app", {}, payload, [span], 7)).payload)


def chain(processor: Processor, name: str = "parse", place: str = "/etc/my agent/conf.d/agent.yaml:8") -> Chain:
    """A chain of one processor, without room for dead letters."""
    return Chain([Spec(name, processor, place)], "app", lambda: 0)


def test_a_record_that_goes_on_names_the_processor_and_its_line_in_the_config() -> None:
    (record,) = ran(chain(ParseRegex(pattern=re.compile("(?P<x>a|aa)+$"))), b"a" * 60 + b"b")
    assert record["parse_error"].startswith(
        "parse: agent.yaml:8: the pattern (?P<x>a|aa)+$ was not done with 61 characters"
    )


def test_what_cannot_be_written_names_those_of_which_one_left_it() -> None:
    (record,) = ran(chain(Leaves(), "leaves", "conf/agent.yaml:8"), b"x")
    assert record["processor_error"].startswith("encode: leaves (agent.yaml:8): the field odd: ")


def test_one_line_of_the_log_tells_of_records_that_fail_and_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    configure("info", force_json=True)
    refuses = chain(Refuses(on_error="keep"), "told once", "/etc/agent.yaml:9")
    for _ in range(3):
        ran(refuses, b"x", b"xx", b"y")
        assert refuses.take_errors() == [("told once", 2)]
    (line,) = capsys.readouterr().err.splitlines()
    assert '"processor":"told once (/etc/agent.yaml:9)"' in line
    assert '"source":"app"' in line
    assert '"error":"it begins with x"' in line
    works = chain(Refuses(), "never told")
    ran(works, b"y")
    assert works.take_errors() == []
    assert capsys.readouterr().err == ""
