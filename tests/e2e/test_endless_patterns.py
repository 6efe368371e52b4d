"""Regular expressions that could match a hostile line for ever, in an agent that runs: it says so, and goes on."""

import re
import time
import urllib.error
import urllib.request
from pathlib import Path

from support.processes import Node, free_port, records, wait_for
from support.whole import whole_records

CONFIG = r"""
data_dir: {folder}/data
sources: {{app: {{type: file, include: ['{folder}/logs/*.log']}}}}
processors:
  - drop: {{where: "matches(message, '^(x|xx)+$')", on_error: keep}}
  - parse_regex: {{pattern: '^(?P<a>(?:a|aa)+)$', where: "startswith(message, 'a')"}}
  - parse_grok: {{pattern: '^%{{BS:b}}$', definitions: {{BS: '(b|bb)+'}}, where: "startswith(message, 'b')"}}
  - parse_regex: {{pattern: '^(?P<c>(?:c+)+)$', where: "startswith(message, 'c')"}}
sinks: {{archive: {{type: file, path: '{folder}/out.ndjson'}}}}
"""


def shipped(folder: Path) -> list[dict[str, object]]:
    """So far."""
    return whole_records(folder / "out.ndjson")


def test_a_hostile_line_costs_itself_and_the_agent_goes_on(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "app.log"
    log.parent.mkdir()
    hostile = {letter: letter * 60 + "!" for letter in "xabc"}
    log.write_text("".join(f"{line}\n{letter * 3}\n" for letter, line in hostile.items()))
    agent = Node(tmp_path, "agent", CONFIG.format(folder=tmp_path))
    agent.start()
    wait_for(lambda: len(shipped(tmp_path)) == 7, "all lines but the one that was dropped")
    with log.open("a") as more:
        more.write("aaaa\n")
    wait_for(lambda: len(shipped(tmp_path)) == 8, "a line that came later")
    assert agent.stop() == 0
    found = list(records(tmp_path / "out.ndjson"))
    assert [record.get(letter) for letter in "abc" for record in found if letter in record] == [
        "aaa",
        "aaaa",
        "bbb",
        "ccc",
    ]
    by_text = {record["message"]: record for record in found if "message" in record}
    ended = "was not done with 61 characters after 0.1 s"
    for letter, error, step in (
        ("x", "processor_error", "drop: agent.yaml:5"),
        ("a", "parse_error", "parse_regex: agent.yaml:6"),
        ("b", "parse_error", "parse_grok: agent.yaml:7"),
    ):
        text = str(by_text[hostile[letter]][error])
        assert text.startswith(f"{step}: the pattern ")
        assert ended in text
    assert str(by_text[hostile["c"]]["parse_error"]).endswith("the pattern does not match")


def status_of(port: int, page: str) -> int:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=30) as answer:
            status: int = answer.status
            return status
    except urllib.error.HTTPError as error:
        return error.code


def test_a_source_of_nothing_but_hostile_lines_is_shipped_by_an_agent_that_stays_ready(tmp_path: Path) -> None:
    lines = [f"{'a' * 60}!{number:04}" for number in range(1150)]
    log = tmp_path / "logs" / "app.log"
    log.parent.mkdir()
    log.write_text("")
    admin = free_port()
    agent = Node(tmp_path, "agent", f"admin: {{listen: '127.0.0.1:{admin}'}}\n{CONFIG.format(folder=tmp_path)}")
    agent.start()
    wait_for(lambda: agent.up, "an agent that runs")
    began = time.monotonic()
    log.write_text("".join(f"{line}\n" for line in lines))
    seen: set[int] = set()

    def done() -> bool:
        seen.add(status_of(admin, "readyz"))
        return len(shipped(tmp_path)) == len(lines)

    wait_for(done, "all lines")
    assert seen == {200}
    assert "not ready" not in agent.output()
    assert agent.stop() == 0
    found = list(records(tmp_path / "out.ndjson"))
    assert [record["message"] for record in found] == lines
    errors = [str(record["parse_error"]) for record in found]
    assert "after 0.1 s;" in errors[0]
    assert "ms, all that was left: slow texts have 2 s together" in errors[-1]
    given = [
        float(time_given) / (1000 if unit == "ms" else 1)
        for error in errors
        for time_given, unit in re.findall(r"after (\S+) (m?s)", error)
    ]
    assert sum(given) < 2 + len(lines) * 0.001 + 0.05 * (time.monotonic() - began)
