"""``shipper spool`` as an operator calls it: beside a running agent, on damage, and with what is wrong."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.files import as_nobody
from support.ledgers import STREAM, received, span
from support.processes import Node, free_port, wait_for

from shipper.batch import Upstream
from shipper.cli import main
from shipper.spool.body import GapNote
from shipper.spool.draft import EntryDraft
from shipper.spool.real_disk import RealDisk
from shipper.spool.store import Store


def _spool(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "shipper", "spool", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def _agent(folder: Path) -> Node:
    """One whose collector is away, and that has a file sink: segments come and go, a backlog stays small."""
    (folder / "logs").mkdir()
    return Node(
        folder,
        "agent",
        f"data_dir: {folder}/data\nsources: {{app: {{type: file, include: ['{folder}/logs/*.log']}}}}\n"
        f"sinks: {{out: {{type: file, path: '{folder}/out.ndjson'}}}}\n"
        "spool: {max_bytes: 2MiB}\nbatch: {max_delay: 5ms, max_bytes: 16KiB}\n",
    )


def _stopped(folder: Path, lines: int = 500) -> Node:
    """The same after ``run --once`` with a collector that is away: all of it waits."""
    agent = _agent(folder)
    sink = f"{{type: grpc, addresses: ['127.0.0.1:{free_port()}']}}"
    text = agent.config.read_text().replace(f"{{type: file, path: '{folder}/out.ndjson'}}", sink)
    agent.config.write_text(text + "shutdown_timeout: 0s\n")
    (folder / "logs" / "a.log").write_text("".join(f"line {number}\n" for number in range(lines)))
    agent.start()
    wait_for(lambda: agent.up, "the start-up line")
    wait_for(lambda: f"line {lines - 1}" in _spool("cat", agent.config).stdout, "the last line in the spool")
    assert agent.stop() == 0
    return agent


def test_a_running_agent_is_looked_into_without_a_false_alarm(tmp_path: Path) -> None:
    agent = _agent(tmp_path)
    agent.start()
    wait_for(lambda: agent.up, "the start-up line")
    written = 0
    with (tmp_path / "logs" / "a.log").open("a") as log:
        for _ in range(8):
            log.writelines(f"line {number}\n" for number in range(written, written + 20_000))
            log.flush()
            written += 20_000
            verified = _spool("verify", agent.config)
            assert (verified.returncode, verified.stderr) == (0, ""), verified.stdout
            assert verified.stdout.endswith("sound\n")
            assert verified.stdout.count("\n") == 1
            listed = _spool("ls", "--json", agent.config)
            assert listed.returncode == 0, listed.stderr
            assert json.loads(listed.stdout)["running"] is True
            shown = _spool("cat", agent.config)
            assert shown.returncode == 0, shown.stderr
            assert all("delivered and removed meanwhile" in line for line in shown.stderr.splitlines())
            assert all(json.loads(line)["message"].startswith("line ") for line in shown.stdout.splitlines())
    refused = _spool("repair", agent.config)
    assert refused.returncode == 1
    assert "stop it, then repair" in refused.stderr
    assert agent.stop() == 0, agent.output()
    assert not (tmp_path / "data" / "control.sock").exists()


def test_records_are_shown_with_their_identity_and_from_where_one_asks(tmp_path: Path) -> None:
    agent = _stopped(tmp_path)
    records = [json.loads(line) for line in _spool("cat", agent.config).stdout.splitlines()]
    assert [record["message"] for record in records] == [f"line {number}" for number in range(500)]
    assert {"_stream", "_seq", "_index", "host", "source"} <= records[0].keys()
    numbers = sorted({record["_seq"] for record in records})
    later = [json.loads(line) for line in _spool("cat", "--from", str(numbers[-1]), agent.config).stdout.splitlines()]
    assert later == [record for record in records if record["_seq"] == numbers[-1]]
    assert _spool("cat", "--sink", "out", tmp_path / "data" / "spool").stdout == _spool("cat", agent.config).stdout
    none = _spool("cat", "--sink", "nobody", agent.config)
    assert (none.returncode, none.stdout) == (1, "")
    assert none.stderr == "shipper: no sink 'nobody' has a cursor in this spool; there are: out\n"


def test_damage_is_named_repaired_and_known_afterwards(tmp_path: Path) -> None:
    agent = _stopped(tmp_path)
    (segment,) = (tmp_path / "data" / "spool").glob("*.seg")
    data = segment.read_bytes()
    at = data.find(b"SHPF") + 90
    segment.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    found = _spool("verify", agent.config)
    assert found.returncode == 1
    first, last = found.stdout.splitlines()
    assert first.startswith(f"{segment.name}, bytes ")
    assert first.endswith("sequence number 1 lost")
    assert "1 place damaged; 'shipper spool repair' sets that aside" in last
    shown = _spool("cat", agent.config)
    assert shown.returncode == 1
    assert "shipper: frame 1 is missing: corrupt" in shown.stderr
    tried = _spool("repair", "--dry-run", agent.config)
    assert "1 would be set aside" in tried.stdout
    assert _spool("verify", agent.config).stdout == found.stdout, "a dry run changes nothing"
    assert "1 set aside" in _spool("repair", agent.config).stdout
    again = _spool("verify", agent.config)
    assert (again.returncode, again.stderr) == (0, "")
    assert "known: reported and set aside before" in again.stdout
    assert again.stdout.endswith("sound\n")
    assert _spool("repair", agent.config).stdout == "nothing is damaged\n"


def test_a_gap_that_a_sender_told_of_is_shown_with_the_numbers_that_are_missing_there(tmp_path: Path) -> None:
    disk = RealDisk(tmp_path / "data" / "spool")
    store = Store(disk, 2 << 20, 1 << 20, ["out"])
    store.commit([received(1, span(0, 10))])
    for first, last in ((2, 31), (32, 32)):
        upstream = Upstream(STREAM, first, 1, b"i" * 16, 0, 1)
        store.commit([EntryDraft(upstream=upstream, gap=GapNote(STREAM, first, last, -1, "corrupt"))])
    store.commit([received(33, span(10, 30))])
    store.close()
    disk.unlock()
    shown = _spool("cat", tmp_path / "data")
    assert (shown.returncode, shown.stdout.count("\n")) == (0, 2)
    stream = STREAM.hex()
    assert shown.stderr.splitlines() == [
        f"shipper: frame 2 is a gap: frames 2 to 31 are missing, of the stream {stream}: corrupt",
        f"shipper: frame 3 is a gap: frame 32 is missing, of the stream {stream}: corrupt",
    ]


@pytest.mark.parametrize("running", [True, False])
def test_a_removed_sink_is_forgotten_but_not_one_that_the_config_has(tmp_path: Path, *, running: bool) -> None:
    agent = _stopped(tmp_path, 5000)
    refused = _spool("forget", "out", agent.config)
    assert refused.returncode == 1
    assert "the config has the sink 'out'" in refused.stderr
    assert json.loads(_spool("ls", "--json", agent.config).stdout)["sinks"]["out"]["removed"] is False
    assert json.loads(_spool("ls", "--json", tmp_path / "data").stdout)["sinks"]["out"]["removed"] is None
    agent.config.write_text(agent.config.read_text().replace("{out:", "{other:"))
    assert ", not in the config: 'shipper spool forget' gives that up" in _spool("ls", agent.config).stdout
    if running:
        agent.start()
        wait_for(lambda: agent.up, "the start-up line")
        by_directory = _spool("forget", "other", tmp_path / "data")
        assert by_directory.returncode == 1, "the process knows what its config has"
        assert "the config has the sink 'other'" in by_directory.stderr
    waiting = json.loads(_spool("ls", "--json", agent.config).stdout)["sinks"]["out"]["backlog_frames"]
    assert waiting > 1
    done = _spool("forget", "out", agent.config)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"forgot out, and gave up {waiting} frames that waited for it: ")
    assert "out" not in json.loads(_spool("ls", "--json", agent.config).stdout)["sinks"]
    again = _spool("forget", "out", agent.config)
    assert again.returncode == 1
    assert "no sink 'out'" in again.stderr
    if running:
        assert agent.stop() == 0


def test_what_is_no_spool_is_told_in_one_sentence(tmp_path: Path) -> None:
    missing = _spool("ls", tmp_path / "nothing")
    assert (missing.returncode, missing.stdout) == (2, "")
    assert missing.stderr == f"{tmp_path}/nothing: no such file or directory; name a config file or a data directory\n"
    (tmp_path / "empty").mkdir()
    empty = _spool("verify", tmp_path / "empty")
    assert empty.returncode == 2
    assert empty.stderr == f"{tmp_path}/empty: no data directory of shipper: it holds no spool\n"
    agent = _agent(tmp_path)
    unused = _spool("cat", agent.config)
    assert unused.returncode == 2
    assert f"its data_dir {tmp_path}/data holds no spool: nothing ran with it yet, or with another one" in unused.stderr
    assert not (tmp_path / "data").exists(), "looking makes nothing"


@pytest.mark.parametrize("closed", ["data", "data/spool"])
def test_who_may_not_look_is_told_so_in_one_sentence(
    open_path: Path, closed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    agent = _stopped(open_path)
    folder = open_path / closed
    for command in (["ls"], ["verify"], ["cat"], ["repair", "--dry-run"]):
        assert main(["spool", *command, str(agent.config)]) == 0  # imports what the other user may not read
    capsys.readouterr()
    (open_path / "data").chmod(0o755)
    folder.chmod(0)
    try:
        with as_nobody(open_path):
            for target in (agent.config, open_path / "data"):
                for command in (["ls"], ["verify"], ["cat"], ["repair", "--dry-run"]):
                    assert main(["spool", *command, str(target)]) == 1
                    said = capsys.readouterr()
                    assert said.out == ""
                    assert said.err.count("\n") == 1
                    assert said.err.startswith(f"shipper: permission denied: {open_path}/data")
    finally:
        folder.chmod(0o700)


def test_who_has_seen_enough_ends_it_quietly(tmp_path: Path) -> None:
    agent = _stopped(tmp_path, 5000)
    command = f"{sys.executable} -m shipper spool cat {agent.config} | head -1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""
    assert json.loads(done.stdout)["message"] == "line 0"


def test_the_commands_of_the_guide_work(tmp_path: Path) -> None:
    guide = (Path(__file__).parents[2] / "docs" / "guide" / "spool.md").read_text("utf-8")
    commands = [line.removeprefix("$ shipper spool ").split() for line in guide.splitlines() if line.startswith("$ ")]
    assert {command[0] for command in commands} == {"ls", "verify", "cat", "repair"}
    agent = _stopped(tmp_path)
    agent.config.write_text(agent.config.read_text().replace("{out:", "{central:"))
    agent.start()
    wait_for(lambda: agent.up, "the start-up line")
    assert agent.stop() == 0
    for command in commands:
        done = _spool(*[agent.config if word == "agent.yaml" else word for word in command])
        assert (done.returncode, done.stderr) == (0, ""), command
