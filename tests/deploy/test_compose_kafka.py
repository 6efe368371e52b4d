"""The configs of deploy/compose/kafka.yaml against a real broker: what the agent ships, the collector shows."""

import json
import subprocess
import sys
from pathlib import Path

from support.kafka import Broker

COMPOSE = Path(__file__).parents[2] / "deploy" / "compose"


def run_once(name: str, folder: Path, address: str) -> str:
    """A config of the folder, with this broker, these logs and a data directory of its own; what it prints."""
    text = (COMPOSE / f"{name}.yaml").read_text()
    assert text.count("kafka:9092") == 1
    config = folder / f"{name}.yaml"
    config.write_text(text.replace("kafka:9092", address).replace("/logs/", f"{folder}/logs/"))
    command = [sys.executable, "-m", "shipper", "run", "--once", str(config)]
    environment = {"STATE_DIRECTORY": str(folder / name), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_the_agent_ships_to_kafka_the_collector_shows(own_kafka: Broker, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "app.log").write_text('{"message": "hello", "n": 1}\nno JSON\n')
    run_once("kafka-agent", tmp_path, own_kafka.address)
    shown = [json.loads(line) for line in run_once("kafka-collector", tmp_path, own_kafka.address).splitlines()]
    assert [(record["message"], record.get("n")) for record in shown] == [("hello", 1), ("no JSON", None)]
    assert {(record["host"], record["source"]) for record in shown} == {("compose", "app")}
