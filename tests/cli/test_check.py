"""``shipper check`` and the command line itself, as a user calls them."""

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from support.configs import OUT, probe, write

from shipper.cli import main


def shipper(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "shipper", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_a_good_config_is_summed_up(tmp_path: Path) -> None:
    done = shipper("check", write(tmp_path, probe("text: x") + f"data_dir: {tmp_path}/data\n", "agent.yaml"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "agent: fine\n"
        "  sources      s\n"
        "  processors   none\n"
        "  sinks        out\n"
        f"  data_dir     {tmp_path}/data\n"
        "  spool        at most 1GiB\n"
    )


@pytest.mark.parametrize(
    ("shared", "own", "shown"),
    [
        ("[parse_json]", "[]", ["  processors   parse_json"]),
        ("[]", "[parse_json, dedupe]", ["    s          parse_json -> dedupe"]),
        (
            "[flatten, dedupe]",
            "[parse_json]",
            ["    s          parse_json", "  processors   flatten -> dedupe (of every source, after its own)"],
        ),
    ],
)
def test_a_summary_shows_the_processors_of_a_source_and_those_of_all_of_them(
    tmp_path: Path, shared: str, own: str, shown: list[str]
) -> None:
    done = shipper("check", write(tmp_path, probe(f"processors: {own}") + f"processors: {shared}\n"))
    lines = done.stdout.splitlines()
    assert lines[2 : lines.index("  sinks        out")] == shown


def test_every_problem_is_shown_and_the_exit_code_is_2(tmp_path: Path) -> None:
    path = write(tmp_path, "spol: 1\n" + probe("number: x"))
    done = shipper("check", path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        (
            f"{path}:1: spol: unknown key; did you mean 'spool'? known: admin, batch, data_dir, dead_letters, labels, "
            "processors, shutdown_timeout, sinks, sources, spool, workers"
        ),
        f"{path}:5: sources.s.number: found 'x', expected a whole number",
    ]


def test_a_warning_is_shown_but_the_config_is_fine(tmp_path: Path) -> None:
    path = write(tmp_path, "sources: {edge: {type: grpc, listen: '0.0.0.0:7420'}}\n" + OUT)
    done = shipper("check", path)
    assert done.returncode == 0
    text = "sources.edge.listen: listens on every interface without TLS or tokens: whoever reaches the port can send"
    assert done.stderr == f"warning: {path}:1: {text}\n"


def test_a_file_that_is_not_there_is_a_problem_like_any_other(tmp_path: Path) -> None:
    done = shipper("check", tmp_path / "nothing.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"{tmp_path}/nothing.yaml: cannot be read: No such file or directory\n"


def test_check_wants_a_config() -> None:
    done = shipper("check")
    assert done.returncode == 2
    assert "name at least one config file or directory" in done.stderr


def test_the_schema_is_printed_as_json() -> None:
    done = shipper("check", "--schema")
    assert done.returncode == 0
    assert json.loads(done.stdout)["title"] == "The config of shipper"


def test_a_reader_that_stops_early_is_no_crash() -> None:
    command = f"{sys.executable} -m shipper check --schema | head -c 10"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, timeout=60)
    assert done.stderr == ""


def test_help_lists_the_commands_and_shows_an_example() -> None:
    done = shipper("--help")
    assert done.returncode == 0
    assert "shipper check agent.yaml && shipper run agent.yaml" in done.stdout
    for command in ("run", "check"):
        assert f"\n    {command} " in done.stdout
        own = shipper(command, "--help")
        assert own.returncode == 0
        assert "example" in own.stdout


def test_wrong_usage_is_told_with_exit_code_2() -> None:
    for arguments in ((), ("chekc", "x.yaml"), ("check", "--nothing"), ("--nothing",)):
        done = shipper(*arguments)
        assert (done.returncode, done.stdout) == (2, "")
        assert "usage: shipper" in done.stderr


def test_the_version_is_that_of_the_distribution() -> None:
    assert shipper("--version").stdout == f"shipper {version('edge-shipper')}\n"


def test_a_command_imports_only_its_own_module() -> None:
    code = (
        "import sys; from shipper.cli import main; main(['check', 'nothing.yaml'])\n"
        "print([name for name in ('shipper.cli.run', 'shipper.cli.demo', 'grpc', 'importlib.metadata', 'difflib')"
        " if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_a_file_that_is_no_config_is_not_repeated(tmp_path: Path) -> None:
    """A wrong path may name anything; its contents do not belong on a screen or in a log."""
    other = tmp_path / "other.yaml"
    other.write_text("password: hunter2\nsecret-key: abcdef\n")
    done = shipper("check", other)
    assert done.returncode == 2
    assert done.stderr.startswith(f"{other}:1: this is no shipper config")
    assert "hunter2" not in done.stderr
    assert "secret-key" not in done.stderr


def test_a_mistyped_command_is_told_the_right_one() -> None:
    done = shipper("chekc", "agent.yaml")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(
        "there is no command 'chekc'; did you mean 'check'? "
        "known: audit, check, demo, dlq, explain, new, run, spool, test, tokens\n"
    )


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("spool lss agent.yaml", "'lss'; did you mean 'ls'? known: cat, forget, ls, repair, verify"),
        ("dlq reply agent.yaml", "'reply'; did you mean 'replay'? known: ls, replay, show"),
        ("tokens rm bob", "'rm'; known: add, forget, ls"),
    ],
)
def test_a_mistyped_action_is_told_the_right_one(command: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command.split()) == 2
    assert capsys.readouterr().err.endswith(f"there is no action {said}\n")
