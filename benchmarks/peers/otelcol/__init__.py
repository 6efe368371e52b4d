"""The OpenTelemetry Collector: the filelog receiver with its operators, the file exporter. Built with Go from
``main.go`` beside this file, which names no other part; the releases stand in ``go.mod``.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import yaml

from benchmarks import verify
from benchmarks.peers.peer import Missing, Peer
from benchmarks.throughput import COMBINED
from benchmarks.verify import Content

_HERE: Final = Path(__file__).parent
_JSON: Final = {"type": "json_parser", "parse_ints": True}
_DROP: Final = {"type": "filter", "expr": 'attributes.level == "debug"'}
_KEEP: Final = {"type": "filter", "expr": 'attributes.level != "error"'}
_ADD: Final = [{"type": "add", "field": f"attributes.{k}", "value": v} for k, v in verify.CONSTANTS.items()]
_CHANGE: Final = {"type": "add", "field": "attributes.level", "value": "EXPR(upper(attributes.level))"}
_COMBINED: Final = [
    {"type": "regex_parser", "regex": f"^{COMBINED}$$"},
    *(
        {"type": "add", "field": f"attributes.{name}", "value": f"EXPR(int(attributes.{name}))"}
        for name in ("status", "bytes")
    ),
]
_OPERATORS: Final[dict[str, list[dict[str, Any]]]] = {
    "2": [_JSON, _DROP, *_ADD],
    "3": [_JSON, _DROP, *_ADD, _CHANGE],
    "4": _COMBINED,
    "5": [_JSON, _KEEP],
}


class OtelCollector(Peer):
    """Its defaults: batches of the receiver's own, no queue before the exporter."""

    name = "OpenTelemetry Collector"
    promise = (
        "not durable: nothing is synced, and without its storage extension no position is kept, so after a crash the "
        "file is read again from its beginning"
    )
    mark = b'"observedTimeUnixNano"'

    def find(self, folder: Path) -> str:
        """Built once under ``folder``; the first time it takes a minute or two."""
        place = folder / "peers" / "otelcol-0.149.0"
        program = place / "otelcol"
        if not program.exists():
            go = shutil.which("go")
            if go is None:
                raise Missing("there is no Go toolchain in the PATH to build it with (https://go.dev/dl)")
            place.mkdir(parents=True, exist_ok=True)
            for name in ("go.mod", "main.go"):
                shutil.copy(_HERE / name, place)
            flags = os.environ | {"GOFLAGS": "-mod=mod"}
            build = [go, "build", "-o", str(program)]
            built = subprocess.run(build, cwd=place, env=flags, capture_output=True, text=True, check=False)
            if built.returncode:
                raise Missing(f"it could not be built: {built.stderr.strip().splitlines()[-1]}")
        return str(program)

    def version(self, program: str) -> str:
        """As ``otelcol --version`` has it."""
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
        return f"{self.name} {said.split()[-1]}"

    def command(self, program: str, number: str, log: Path, output: Path) -> list[str]:
        """One receiver, one exporter."""
        receiver = {"include": [str(log)], "start_at": "beginning", "operators": _OPERATORS[number]}
        config = {
            "receivers": {"filelog": receiver},
            "exporters": {"file": {"path": str(output)}},
            "service": {
                "pipelines": {"logs": {"receivers": ["filelog"], "exporters": ["file"]}},
                "telemetry": {"logs": {"level": "error"}, "metrics": {"level": "none"}},
            },
        }
        path = output.parent / "otelcol.yaml"
        path.write_text(yaml.safe_dump(config, sort_keys=False))
        return [program, "--config", str(path)]

    def read(self, output: Path) -> Iterator[Content | None]:
        """The attributes of each log record; a line holds a request of many."""
        with output.open() as file:
            for line in file:
                for resource in json.loads(line)["resourceLogs"]:
                    for scope in resource["scopeLogs"]:
                        for record in scope["logRecords"]:
                            fields = {item["key"]: _value(item["value"]) for item in record["attributes"]}
                            fields.pop("log.file.name", None)
                            yield fields


def _value(value: dict[str, Any]) -> Any:
    """What OTLP's JSON calls an AnyValue; a 64-bit integer stands in it as text."""
    if not value:
        return None
    ((kind, content),) = value.items()
    if kind == "intValue":
        return int(content)
    if kind == "arrayValue":
        return [_value(item) for item in content.get("values", [])]
    if kind == "kvlistValue":
        return {item["key"]: _value(item["value"]) for item in content.get("values", [])}
    return content
