"""The settings that every sink has."""

from pathlib import Path

from support.configs import load_text, problems_of

from shipper.losses import limits

_SOURCE = 'sources: {s: {type: "./parts.py:Probe"}}\n'


def sink(settings: str) -> str:
    """A config with a sink that has these settings."""
    return f'{_SOURCE}sinks:\n  out:\n    type: "./parts.py:Out"\n{settings}'


def test_a_sink_blocks_unless_it_is_told_to_drop(tmp_path: Path) -> None:
    assert limits(load_text(tmp_path, sink("")).sinks) == {}
    assert limits(load_text(tmp_path, sink("    when_full: block\n")).sinks) == {}
    dropping = "    when_full: drop_oldest\n"
    assert limits(load_text(tmp_path, sink(dropping)).sinks) == {"out": None}
    assert limits(load_text(tmp_path, sink(dropping + "    max_backlog: 2GiB\n")).sinks) == {"out": 2 << 30}


def test_a_max_backlog_for_a_sink_that_blocks_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    for text in ("    max_backlog: 2GiB\n", "    max_backlog: 2GiB\n    when_full: block\n"):
        (problem,) = problems_of(tmp_path, sink(text))
        assert problem.startswith("c.yaml:3: sinks.out: max_backlog bounds what this sink may hold back")
        assert "add 'when_full: drop_oldest' to lose the oldest ones, or remove max_backlog to lose none" in problem


def test_a_max_backlog_of_nothing_and_an_unknown_policy_are_errors(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, sink("    when_full: drop_oldest\n    max_backlog: 0\n"))
    assert "max_backlog is 0B, expected at least 1 byte" in problem
    (problem,) = problems_of(tmp_path, sink("    when_full: drop_newest\n"))
    assert "drop_oldest" in problem
