"""``shipper dlq`` as an operator calls it: what failed is found, looked at, and sent again."""

import urllib.request
from pathlib import Path

import orjson
import pytest
from support.processes import Node, free_port, records, wait_for
from support.strict import StrictAgent, called, dlq, listed

from shipper.batch import DEAD_LETTER_RAW, DeadLetter, Format
from shipper.control import call
from shipper.errors import ControlError
from shipper.spool.draft import EntryDraft
from shipper.spool.real_disk import RealDisk
from shipper.spool.store import Store


def letter(raw: bytes, **facts: object) -> DeadLetter:
    """A dead letter of the source ``app``."""
    values = {
        "size": len(raw),
        "processor": "parse_json",
        "error": "it is no JSON",
        "labels": {"host": "edge-1"},
        "source": "app",
        "generation": b"g" * 16,
        "start": 100,
        "index": 3,
        "read_at": 1_700_000_000_000_000,
        "format": Format.LINES,
    }
    return DeadLetter(raw=raw, **(values | facts))  # type: ignore[arg-type]


def stored(folder: Path, *some: DeadLetter) -> Path:
    """A data directory of a stopped agent with these dead letters."""
    disk = RealDisk(folder / "data" / "spool")
    disk.lock()
    store = Store(disk, 4 << 20, 1 << 20, ["out"])
    store.commit([EntryDraft(dead_letters=list(some))])
    store.close()
    disk.unlock()
    return folder / "data"


def ids(target: Path) -> list[str]:
    """Of the letters, in order."""
    return [line.split()[0] for line in dlq("ls", target).stdout.splitlines()[1:] if line[:1].isdigit()][:-1]


def page(port: int, path: str) -> str:
    """What the admin port answers."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
        text: str = answer.read().decode()
    return text


def test_letters_are_listed_with_counts_by_source_and_processor(tmp_path: Path) -> None:
    target = stored(tmp_path, letter(b"a"), letter(b"b"), letter(b"c", processor="sink/out", source="other"))
    shown = dlq("ls", target)
    assert (shown.returncode, shown.stderr) == (0, "")
    head, first, *_ = shown.stdout.splitlines()
    assert head.split() == ["id", "read", "at", "source", "processor", "size", "error"]
    assert first.split(maxsplit=1)[1].split() == "2023-11-14T22:13:20Z app parse_json 1 B it is no JSON".split()
    assert shown.stdout.endswith("3 dead letters, 3 B\n  2 of app by parse_json\n  1 of other by sink/out\n")
    assert dlq("ls", target, "--processor", "sink/out").stdout.endswith(
        "1 dead letter, 1 B\n  1 of other by sink/out\n"
    )
    assert dlq("ls", target, "--source", "nobody").stdout == "no dead letters\n"


def test_a_letter_is_shown_with_all_that_is_known_of_it(tmp_path: Path) -> None:
    target = stored(tmp_path, letter(b'{"a": \x1b[31m'), letter(b"\xff\x00bytes"), letter(b"cut", size=70_000))
    text, binary, cut = ids(target)
    shown = dlq("show", target, text).stdout
    assert shown.splitlines() == [
        f"dead letter: {text}",
        "read at:     2023-11-14T22:13:20.000000Z",
        "source:      app",
        "processor:   parse_json",
        "error:       it is no JSON",
        'labels:      {"host":"edge-1"}',
        "position:    record 3 of the range that begins at 100",
        f"generation:  {b'g'.hex() * 16}",
        "size:        11 bytes",
        "",
        '{"a": \\x1b[31m',
    ]
    assert "00000000  ff 00 62 79 74 65 73 " in dlq("show", target, binary).stdout
    assert "70000 bytes, of which the first 3 are kept" in dlq("show", target, cut).stdout
    assert dlq("show", target, "--raw", text, cut).stdout == '{"a": \x1b[31m\ncut\n'


def test_a_letter_that_is_not_there_is_named(tmp_path: Path) -> None:
    shown = dlq("show", stored(tmp_path, letter(b"a")), "7-7-7")
    assert shown.returncode == 1
    assert shown.stderr == "shipper: there is no dead letter 7-7-7: 'shipper dlq ls' shows those that there are\n"


def test_a_replay_says_which_letters_it_wants_and_that_a_process_must_run(tmp_path: Path) -> None:
    target = stored(tmp_path, letter(b"a"))
    asked = dlq("replay", target)
    assert (asked.returncode, asked.stderr) == (
        2,
        "name the dead letters to replay: ids, --processor, --source, or --all\n",
    )
    asked = dlq("replay", target, "--all")
    assert asked.returncode == 1
    assert "start it with 'shipper run', then replay" in asked.stderr
    assert len(ids(target)) == 1


def test_a_mended_config_takes_its_letters_and_a_broken_one_makes_new_ones_of_them(tmp_path: Path) -> None:
    admin = free_port()
    agent = StrictAgent(tmp_path, more=f"admin: {{listen: '127.0.0.1:{admin}'}}\n")
    agent.write(30, bad=3)
    agent.up_and_running()
    wait_for(lambda: len(listed(agent)) == 10, "the dead letters")
    before = listed(agent)
    again = dlq("replay", agent.config, str(before[0]["id"]), str(before[4]["id"]))
    assert again.stdout == ("2 dead letters replayed; 2 dead letters came of it: 'shipper dlq ls' shows why\n"), (
        again.stderr
    )
    after = listed(agent)
    assert [one["raw"] for one in after] == [one["raw"] for one in (*before[1:4], *before[5:], before[0], before[4])]
    place = ("source", "processor", "error", "labels", "generation", "start", "index", "size", "read_at")
    assert [after[-2][name] for name in place] == [before[0][name] for name in place], "it is the same record"
    assert [one["id"] for one in listed(agent, "--replayed") if one["replayed"]] == [before[0]["id"], before[4]["id"]]
    assert agent.stop() == 0
    agent.mend()
    agent.up_and_running()
    assert dlq("replay", agent.config, "--processor", "nobody").stdout == "0 dead letters replayed\n"
    assert dlq("replay", agent.config, "--processor", "Strict").stdout == "10 dead letters replayed\n"
    assert 'shipper_dead_letters_replayed_total{processor="Strict"} 10\n' in page(admin, "/metrics")
    assert orjson.loads(page(admin, "/status"))["dead_letters"]["replayed"] == 10
    assert listed(agent, "--replayed") == []
    assert list((tmp_path / "data" / "spool" / "dead_letters").iterdir()) == [], "their room is free again"
    assert agent.stop() == 0
    assert agent.numbers() == list(range(30))
    assert {record["file"] for record in records(agent.out)} == {str(agent.written)}


def test_what_cannot_be_replayed_stays_and_says_why(tmp_path: Path) -> None:
    agent = StrictAgent(tmp_path)
    agent.mend()
    stored(
        tmp_path,
        letter(b"x" * DEAD_LETTER_RAW, size=DEAD_LETTER_RAW + 1),
        letter(b"SHPF...", processor="frame", format=0),
        letter(b"1 of a source that was renamed", source="old"),
    )
    agent.up_and_running()
    for nonsense in ({"letters": "all"}, {"job": 7}, {"anything": 1}):
        with pytest.raises(ControlError):
            call(tmp_path / "data", "replay", **nonsense)
    gone = call(tmp_path / "data", "replay", letters=[[1, 5, "1-2-3"], [9, 28, "1-2-3"]])
    assert (gone["replayed"], gone["already"]) == (0, 2)
    asked = dlq("replay", agent.config, "--all")
    assert asked.returncode == 1
    cut, frame, renamed = asked.stderr.splitlines()
    assert cut.endswith("stays: only the first 65536 bytes of 65537 are kept")
    assert frame.endswith("stays: it holds no single record, but the bytes of a frame that could not be read")
    assert renamed.endswith("stays: no source 'old' runs: name one with --as (app)")
    asked = dlq("replay", agent.config, "--source", "old", "--as", "app")
    assert (asked.returncode, asked.stdout) == (0, "1 dead letter replayed\n")
    assert len(listed(agent)) == 2
    assert agent.stop() == 0
    assert agent.numbers() == [1]


def test_what_a_sink_refused_goes_to_the_sinks_without_the_processors(tmp_path: Path) -> None:
    agent = StrictAgent(tmp_path)
    record = b'{"message":"1 bad","level":"info"}'
    stored(tmp_path, letter(record, processor="sink/out", format=Format.NDJSON, processed=True))
    agent.up_and_running()
    assert dlq("replay", agent.config, "--all").stdout == "1 dead letter replayed\n"
    assert listed(agent) == []
    assert agent.stop() == 0
    (arrived,) = records(agent.out)
    assert (arrived["message"], arrived["level"], arrived["host"]) == ("1 bad", "info", "edge-1")


def test_with_several_sinks_a_letter_of_one_goes_to_all_only_when_that_is_asked_for(tmp_path: Path) -> None:
    out, other = tmp_path / "out.ndjson", tmp_path / "other.ndjson"
    agent = StrictAgent(tmp_path, f"{{out: {{type: file, path: '{out}'}}, other: {{type: file, path: '{other}'}}}}")
    stored(tmp_path, letter(b"1", processor="sink/out", processed=True))
    agent.up_and_running()
    asked = dlq("replay", agent.config, "--all")
    assert asked.returncode == 1
    assert "sink/out refused it and the other sinks have it: --every-sink gives it to all of them" in asked.stderr
    assert dlq("replay", agent.config, "--all", "--every-sink").returncode == 0
    assert agent.stop() == 0
    assert (agent.numbers(out), agent.numbers(other)) == ([1], [1])


def test_records_that_hold_newlines_and_records_of_json_come_as_they_were(tmp_path: Path) -> None:
    agent = StrictAgent(tmp_path)
    agent.mend()
    stored(
        tmp_path,
        letter(b"1 line\n  and another"),
        letter(b'{"message":"2","level":"info"}', format=Format.NDJSON),
        letter(b'{"message":"3","level":"info"}'),
        letter(b"4", format=0),
    )
    agent.up_and_running()
    assert dlq("replay", agent.config, "--all").stdout == "4 dead letters replayed\n"
    assert agent.stop() == 0
    assert [record["message"] for record in records(agent.out)] == [
        "1 line\n  and another",
        "2",
        '{"message":"3","level":"info"}',
        "4",
    ]


def test_explain_sends_the_record_of_a_letter_through_the_processors_as_they_are_now(tmp_path: Path) -> None:
    agent = StrictAgent(tmp_path)
    stored(
        tmp_path,
        letter(b"1 bad", processor="Strict", error="the word was bad"),
        letter(b'{"message":"2 bad","level":"info"}', format=Format.NDJSON, size=70_000),
        letter(b"3", processor="sink/out", processed=True),
    )
    text, json, of_sink = (str(one["id"]) for one in listed(agent))
    before, step, *rest = called("explain", agent.config, "--dead-letter", text).stdout.splitlines()
    assert before == "failed before: Strict: the word was bad"
    assert step.startswith(f"1. Strict ({agent.config}:3)")
    assert "     failed: the word is bad" in rest
    agent.mend()
    said = called("explain", agent.config, "--dead-letter", json).stdout
    assert "\nof its 70000 bytes only the first 34 are kept\n" in said
    assert '=> {"message":"2 bad","level":"info","host":"edge-1","source":"app"}' in said
    refused = called("explain", agent.config, "--dead-letter", of_sink)
    assert refused.returncode == 1
    assert f"{of_sink} had been through the processors when sink/out refused it" in refused.stderr


def test_a_collector_replays_what_its_own_processors_refused_with_the_labels_of_the_sender(tmp_path: Path) -> None:
    port, out = free_port(), tmp_path / "central.ndjson"
    sender = StrictAgent(
        tmp_path, f"{{c: {{type: grpc, addresses: ['127.0.0.1:{port}']}}}}", "labels: {host: edge-7}\n"
    )
    sender.mend()
    collector = Node(
        tmp_path,
        "collector",
        f"data_dir: {tmp_path}/collector\nsources: {{edge: {{type: grpc, listen: '127.0.0.1:{port}'}}}}\n"
        f"processors: [{{'{tmp_path}/strict.py:Strict': {{word: bad}}}}]\n"
        f"sinks: {{archive: {{type: file, path: '{out}'}}}}\n",
    )
    collector.start()
    sender.write(10, bad=5)
    sender.up_and_running()
    wait_for(lambda: collector.up and len(listed(collector)) == 2, "the dead letters")
    assert sender.stop() == 0
    assert collector.stop() == 0
    collector.config.write_text(collector.config.read_text().replace("word: bad", "word: ''"))
    collector.start()
    wait_for(lambda: collector.up, "the collector")
    assert dlq("replay", collector.config, "--source", "edge").stdout == "2 dead letters replayed\n"
    assert collector.stop() == 0
    assert sender.numbers(out) == list(range(10))
    assert {(record["host"], record["source"], record["file"]) for record in records(out)} == {
        ("edge-7", "app", str(sender.written))
    }
