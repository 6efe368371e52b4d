"""Logprep, the nearest Python peer: file input, its processors, JSON lines output; one process for the pipeline.

It is installed with pip into an environment of its own, never into ours. Its usual way is from Kafka to OpenSearch; its
file connectors are simple: the input seeks for each line, the output opens its file for each record and keeps all of
them in memory. So its figure is that of its file connectors as much as that of its processors, and it is given a part
of the file, for its memory grows with it. The processors alone are measured beside it.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from benchmarks import verify
from benchmarks.peers.peer import Missing, Peer
from benchmarks.verify import Content

VERSION: Final = "21.1.0"
_CHAIN: Final = str(Path(__file__).with_name("logprep_chain.py"))
_PARSE: Final = {
    "decoder": {
        "source_format": "json",
        "source_fields": ["message"],
        "target_field": "parsed",
        "delete_source_fields": True,
    }
}
_ADD: Final = {"generic_adder": {"add": {f"parsed.{name}": value for name, value in verify.CONSTANTS.items()}}}
_CHANGE: Final = {
    "generic_resolver": {
        "field_mapping": {"parsed.level": "parsed.level"},
        "overwrite_target": True,
        "resolve_list": {level: level.upper() for level in ("info", "warn", "error")},
    }
}
_DISSECT: Final = (
    '%{remote} %{} %{user} [%{time}] "%{method} %{path} %{protocol}" %{status|int} %{bytes|int} "%{referer}" "%{agent}"'
)


def _delete(where: str) -> dict[str, Any]:
    return {"filter": where, "deleter": {"delete": True}}


_JSON: Final = {"filter": "message", **_PARSE}
_NO_DEBUG: Final = _delete('parsed.level: "debug"')
_ADDED: Final = {"filter": "parsed", **_ADD}
_RULES: Final[dict[str, list[dict[str, Any]]]] = {
    "2": [_JSON, _NO_DEBUG, _ADDED],
    "3": [_JSON, _NO_DEBUG, _ADDED, {"filter": "parsed", **_CHANGE}],
    "4": [{"filter": "message", "dissector": {"mapping": {"message": _DISSECT}}}],
    "5": [_JSON, _delete('NOT parsed.level: "error"')],
}
_TYPES: Final = frozenset({"decoder", "deleter", "generic_adder", "generic_resolver", "dissector"})


class Logprep(Peer):
    """``logprep run`` with one process beside its manager, without metrics."""

    name = "logprep"
    promise = (
        "not durable: nothing is synced and no position is kept; after a crash the file is read again from its "
        "beginning"
    )
    share = 0.1

    def find(self, folder: Path) -> str:
        """Its command, installed if it is not there."""
        home = folder / "peers" / f"logprep-{VERSION}"
        program = home / "bin" / "logprep"
        if not program.exists():
            home.mkdir(parents=True, exist_ok=True)
            log = home / "install.log"
            python = str(home / "bin" / "python")
            pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", f"logprep=={VERSION}"]
            with log.open("wb") as said:
                for step in ([sys.executable, "-m", "venv", str(home)], pip):
                    if subprocess.run(step, stdout=said, stderr=said, check=False).returncode != 0:
                        raise Missing(f"pip cannot install logprep {VERSION} here; {log.relative_to(folder)} says why")
        return str(program)

    def version(self, program: str) -> str:  # noqa: ARG002 -- it is the one that was asked for
        """The version that is installed."""
        return f"logprep {VERSION}"

    def command(self, program: str, number: str, log: Path, output: Path) -> list[str]:
        """Each rule in a processor of its own, in their order."""
        kinds = [(next(iter(_TYPES & rule.keys())), rule) for rule in _RULES[number]]
        config = {
            "version": "1",
            "process_count": 1,
            "timeout": 0.1,
            "logger": {"level": "ERROR"},
            "metrics": {"enabled": False},
            "input": {
                "file": {
                    "type": "file_input",
                    "logfile_path": str(log),
                    "start": "begin",
                    "interval": 0.1,
                    "watch_file": True,
                }
            },
            "pipeline": [{f"step{at}": {"type": kind, "rules": [rule]}} for at, (kind, rule) in enumerate(kinds)],
            "output": {"file": {"type": "jsonl_output", "output_file": str(output)}},
        }
        path = output.with_name("logprep.yaml")
        path.write_text(json.dumps(config, indent=2) + "\n")  # JSON is YAML
        return [program, "run", str(path)]

    def read(self, output: Path) -> Iterator[Content | None]:
        """What it parsed: JSON into a field, a dissected line beside its fields."""
        for record in verify.read_fields(output):
            if isinstance(record, dict):
                record.pop("message", None)
                yield record.get("parsed", record)
            else:
                yield record


class LogprepProcessors(Logprep):
    """Its processors alone, without its connectors and its manager (``logprep_chain.py``)."""

    name = "logprep, processors alone"
    promise = "a measure, no program: what Logprep would reach if its connectors cost no more than a read and a write"
    share = 0.5

    def version(self, program: str) -> str:
        """That of the program whose processors they are."""
        return f"{super().version(program)}, processors alone"

    def command(self, program: str, number: str, log: Path, output: Path) -> list[str]:
        """The same config; its Python, without this directory in its path: a ``logprep.py`` is here too."""
        config = super().command(program, number, log, output)[-1]
        return [str(Path(program).with_name("python")), "-P", _CHAIN, config, str(log), str(output)]
