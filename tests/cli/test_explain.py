"""``shipper explain``: what it says of records, as a user reads it."""

import io
import re
import sys
from pathlib import Path

import pytest

from shipper.cli import main

CONFIG = """\
labels: {host: edge-1}
sources:
  app: {type: file, include: [/none/*.log], processors: [parse_json]}
processors:
  - drop: {where: "level == 'debug' or path == '/healthz'"}
  - add_fields: {fields: {team: payments}}
  - add_fields: {fields: {alert: true}, where: "level == 'fatal' and exists(user)"}
sinks:
  out: {type: stdout}
  errors: {type: stdout, where: "level in ['error', 'fatal']"}
"""


@pytest.fixture(name="config")
def _config(tmp_path: Path) -> Path:
    path = tmp_path / "agent.yaml"
    path.write_text(CONFIG)
    return path


def explain(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], path: Path, lines: bytes, *more: str
) -> str:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(lines)))
    assert main(["explain", str(path), *more]) == 0
    return capsys.readouterr().out


def test_each_processor_says_what_it_changed(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = explain(monkeypatch, capsys, config, b'{"level":"fatal","user":"bob"}\n')
    assert f"1. parse_json ({config}:3), " in said
    assert '     + level: "fatal"\n' in said
    assert '     + team: "payments" (a label' in said
    assert "     + alert: true\n" in said
    assert '=> {"level":"fatal","user":"bob","alert":true,"host":"edge-1","source":"app","team":"payments"}\n' in said
    assert '   to out\n   to errors: level is "fatal"\n' in said


def test_why_a_record_was_dropped_left_alone_or_not_sent_is_said_with_what_was_seen(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = explain(monkeypatch, capsys, config, b'{"level":"debug"}\n{"level":"info"}\n')
    dropped, _, left = said.partition("\n\n")
    assert "dropped: level == 'debug' or path == '/healthz': level is \"debug\", path is missing" in dropped
    assert "saw nothing: no record came so far" in dropped
    assert dropped.endswith("=> nothing goes on to the sinks")
    assert "untouched: level == 'fatal' is false: level is \"info\"\n" in left
    assert "   not to errors: level in ['error', 'fatal'] is false: level is \"info\"\n" in left


def test_a_failure_is_said_with_what_becomes_of_the_record(
    config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    said = explain(monkeypatch, capsys, config, b"Traceback\r\n")
    assert "     failed: JSON is malformed" in said
    assert "     it goes on with the error in a field (on_error: keep)\n" in said
    assert '"message":"Traceback"' in said


def test_a_record_that_fails_twice_keeps_its_first_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text(
        "sources: {app: {type: file, include: [/none/*.log]}}\nsinks: {out: {type: stdout}}\n"
        "processors: [parse_json, parse_timestamp: {field: at}]\n"
    )
    said = explain(monkeypatch, capsys, path, b"Traceback\n")
    assert "failed: the field at is missing\n" in said
    assert "     it has an error of an earlier processor, which stays\n=> " in said


def test_a_value_that_is_no_json_is_named_and_what_becomes_of_the_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "odd.py").write_text(
        'from shipper import Processor, Record\n\n\nclass Odd(Processor):\n    """Leaves what is no JSON."""\n\n'
        "    def process(self, record: Record) -> Record:\n        return record | {'odd': (n for n in 'ab')}\n"
    )
    path = tmp_path / "agent.yaml"
    path.write_text(
        "sources: {app: {type: file, include: [/none/*.log]}}\nsinks: {out: {type: stdout}}\n"
        "processors: ['./odd.py:Odd']\n"
    )
    said = explain(monkeypatch, capsys, path, b"a line\n")
    failed = "failed: the field odd: a value of type generator cannot be written as JSON"
    assert f"2. encode (of what Odd ({path}:3) left)\n     {failed}\n" in said
    assert said.endswith("it is set aside as a dead letter (on_error: dead_letter)\n=> nothing goes on to the sinks\n")


def test_records_that_become_several_and_processors_with_a_memory_are_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text(
        "sources: {app: {type: file, include: [/none/*.log]}}\nsinks: {out: {type: stdout}}\n"
        "processors:\n  - split: {field: message, separator: ','}\n  - dedupe: {fields: [message]}\n"
    )
    said = explain(monkeypatch, capsys, path, b"a,b\nc\nc\n")
    assert '1 became 2:\n       {"message":"a"}\n       {"message":"b"}\n' in said
    assert said.count("dropped: its message went on ") == 1


@pytest.mark.parametrize(
    ("processor", "lines", "reason"),
    [
        ("dedupe: {window: 1h}", b"a\na\n", r"it went on \d+m?s ago; window is 1h"),
        (
            "throttle: {rate: 1, per: 1h, by: [message]}",
            b"a\na\n",
            r"1 in 1h have gone on for this message; the next one may in (1h|35..s)",
        ),
        ("throttle: {rate: 2, per: 1h}", b"a\nb\nc\n", r"2 in 1h have gone on; the next one may in (30m|17..s)"),
        ("sample: {every: 3}", b"a\nb\n", "one of 3 goes on, and this was number 2"),
        ("sample: {rate: 0.1}", b"a\nb\n", "a share of 0.1 goes on, and this was number 2"),
        ("sample: {rate: 0, by: [message]}", b"a\n", "this message is not in the share of 0"),
        ("parse_csv: {columns: [a, b]}", b"a,b\n", "it is the header"),
        ("dedupe: {isolation: process}", b"a\na\n", r"it went on \d+m?s ago; window is 1m"),
        ("./odd.py:Odd", b"a\n", "by its own rule, and it cannot say why: KeyError: 'why'"),
    ],
)
def test_a_processor_says_why_it_dropped_a_record(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    processor: str,
    lines: bytes,
    reason: str,
) -> None:
    (tmp_path / "odd.py").write_text(
        'from shipper import Processor, Record\n\n\nclass Odd(Processor):\n    """Drops."""\n\n'
        "    def process(self, record: Record) -> None:\n        return None\n\n"
        "    def why_dropped(self, record: Record) -> str:\n        raise KeyError('why')\n"
    )
    path = tmp_path / "agent.yaml"
    path.write_text(
        "sources: {app: {type: file, include: [/none/*.log]}}\nsinks: {out: {type: stdout}}\n"
        f"processors:\n  - {processor}\n"
    )
    said = explain(monkeypatch, capsys, path, lines)
    assert re.search(rf"^     dropped: {reason}$", said.rstrip().rpartition("1. ")[2], re.MULTILINE)


def test_lines_come_from_a_file_too(config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "lines").write_bytes(b'{"level":"info"}\n{"level":"warn"}')
    assert main(["explain", str(config), str(tmp_path / "lines")]) == 0
    assert capsys.readouterr().out.count("=> {") == 2
    assert main(["explain", str(config), str(tmp_path / "none")]) == 2
    assert "none: No such file or directory; name a file" in capsys.readouterr().err


def test_of_several_sources_one_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "agent.yaml"
    more = CONFIG.replace("sources:\n", "sources:\n  web: {type: file, include: [/none/web]}\n")
    path.write_text(more)
    assert main(["explain", str(path)]) == 2
    assert capsys.readouterr().err == "there are several sources: name one of web, app\n"
    assert main(["explain", str(path), "--source", "wep"]) == 2
    assert capsys.readouterr().err == "there is no source 'wep'; did you mean 'web'? known: app, web\n"


def test_the_plan_of_every_source_is_printed(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", str(config), "--plan"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("source app\n  raw lines:\n    parse_json: ")
    assert "    add_fields: its fields become labels" in said
    assert "JSON objects:" not in said


def test_the_plan_is_printed_for_what_a_source_gives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "agent.yaml"
    path.write_text(
        "sources:\n  app: {type: file, include: [/none/*.log]}\n"
        "  pods: {type: file, include: [/none/*/*.log], container: cri}\n"
        "  net: {type: syslog, listen: [udp://127.0.0.1:5140]}\n  edge: {type: grpc, listen: 127.0.0.1:7420}\n"
        "sinks: {out: {type: stdout}}\n"
    )
    assert main(["explain", str(path), "--plan"]) == 0
    plans = capsys.readouterr().out.split("source ")[1:]
    kinds = {plan.split("\n")[0]: re.findall(r"^  (\w.*):$", plan, re.MULTILINE) for plan in plans}
    assert kinds == {
        "app": ["raw lines"],
        "pods": ["JSON objects"],
        "net": ["records"],
        "edge": ["raw lines", "JSON objects"],
    }


def test_nothing_is_stored(config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    data = config.parent / "data"
    config.write_text(f"data_dir: {data}\n{CONFIG}")
    explain(monkeypatch, capsys, config, b'{"level":"fatal"}\n')
    assert not data.exists()


def test_what_changed_is_named_by_its_path_and_shown_where_it_differs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], config: Path
) -> None:
    config.write_text(CONFIG.replace("drop: {where: \"level == 'debug' or path == '/healthz'\"}", "./mine.py:Mine"))
    code = """
from shipper import Processor

class Mine(Processor):
    'Changes something deep within.'

    def process(self, record):
        record["a"]["b"][1]["c"] = 2
        del record["a"]["gone"]
        record["text"] += "!"
        return record
"""
    (config.parent / "mine.py").write_text(code)
    line = f'{{"a": {{"b": [0, {{"c": 1}}], "gone": 1}}, "text": "{"abcdefghij" * 10}"}}\n'
    out = explain(monkeypatch, capsys, config, line.encode())
    assert "     ~ a.b[1].c: 1 -> 2\n     - a.gone: 1\n" in out
    assert '     ~ text: ... abcdefghijabcdefghij" -> ... abcdefghijabcdefghij!"\n' in out
