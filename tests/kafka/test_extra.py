"""Kafka is an extra: what is said without it, and that nobody else pays for it."""

import json
import subprocess
import sys
from pathlib import Path

_WITHOUT = "import sys; sys.modules['aiokafka'] = None; from shipper.cli import main; sys.exit(main(sys.argv[1:]))"
_WHO_LOADS_IT = (
    "import sys; from shipper.cli import main; main(sys.argv[1:]); "
    "sys.exit(any(name.partition('.')[0] == 'aiokafka' for name in sys.modules))"
)


def run(program: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False)


def config(folder: Path, sink: str) -> str:
    path = folder / "agent.yaml"
    path.write_text(f"data_dir: {folder}/data\nsources: {{a: {{type: stdin}}}}\nsinks: {{out: {{{sink}}}}}\n")
    return str(path)


def test_without_the_extra_a_config_with_kafka_says_what_to_install(tmp_path: Path) -> None:
    done = run(_WITHOUT, "check", config(tmp_path, "type: kafka, brokers: ['k:9092'], topic: logs"))
    assert done.returncode == 2
    assert (
        "sink type 'kafka' needs the package 'aiokafka': pip install 'edge-shipper[kafka]'" in done.stderr + done.stdout
    )


def test_without_the_extra_everything_else_works(tmp_path: Path) -> None:
    assert run(_WITHOUT, "check", config(tmp_path, "type: stdout")).returncode == 0
    schema = json.loads(run(_WITHOUT, "check", "--schema").stdout)
    assert "sink.stdout" in schema["$defs"]
    assert "sink.kafka" not in schema["$defs"]


def test_a_config_without_kafka_does_not_load_it(tmp_path: Path) -> None:
    assert run(_WHO_LOADS_IT, "check", config(tmp_path, "type: stdout")).returncode == 0
    assert (
        run(_WHO_LOADS_IT, "check", config(tmp_path, "type: kafka, brokers: ['k:9092'], topic: logs")).returncode == 1
    )
