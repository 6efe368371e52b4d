"""What every broker of the tests starts from, made once a machine: it halves the CPU time of a start.

- ``bootstrap.checkpoint``: what Kafka's StorageTool writes into an empty data folder, but for users' credentials
- ``classes.jsa``: the classes of a broker as Java keeps them in memory, which it then maps instead of loading them
"""

import fcntl
import hashlib
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from support.kafka_jars import class_path, fetch
from support.ports import answers, lasting_port
from support.processes import wait_for

_JAVA: Final = [
    *"java -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto -XX:-UsePerfData".split(),
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
]
"""Compiling less and collecting garbage on one thread takes less CPU time, too."""
_CHECKPOINT: Final = "bootstrap.checkpoint"
_CLASSES: Final = "classes.jsa"


def java(heap: str = "256m") -> list[str]:
    """The command that runs a class of Kafka's, but for the class and its arguments."""
    return [*_JAVA, f"-XX:SharedArchiveFile={template() / _CLASSES}", f"-Xmx{heap}", "-cp", class_path()]


def template() -> Path:
    """The folder that holds both; another Java makes another one. Any number of processes may ask at once."""
    said = subprocess.run(["java", "-version"], capture_output=True, check=True).stderr
    jars = fetch()
    folder = jars.with_name(f"{jars.name}-{hashlib.sha256(said).hexdigest()[:16]}")
    if not folder.exists():
        with folder.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
                    _make(Path(scratch)).rename(folder)
    return folder


def prepare(data: Path, settings: Mapping[str, str]) -> None:
    """What StorageTool makes of an empty folder."""
    data.mkdir()
    (data / _CHECKPOINT).write_bytes((template() / _CHECKPOINT).read_bytes())
    (data / "meta.properties").write_text(properties({"version": "1", **settings}))


def properties(settings: Mapping[str, str]) -> str:
    """The text of a file of settings."""
    return "".join(f"{name}={value}\n" for name, value in settings.items())


def _make(scratch: Path) -> Path:
    """Format a folder, run a broker on it for a moment, keep what both leave."""
    made = scratch / "made"
    made.mkdir()
    port, voter = lasting_port(), lasting_port()
    config = scratch / "broker.properties"
    config.write_text(
        properties(
            {
                "process.roles": "broker,controller",
                "node.id": "1",
                "log.dirs": str(scratch / "data"),
                "controller.listener.names": "CONTROLLER",
                "controller.quorum.voters": f"1@127.0.0.1:{voter}",
                "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{voter}",
                "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
            }
        )
    )
    run = [*_JAVA, "-cp", class_path()]
    tool = [*run, "kafka.tools.StorageTool", "format", "--cluster-id=AAAAAAAAAAAAAAAAAAAAAA", f"--config={config}"]
    subprocess.run(tool, check=True, capture_output=True)
    (scratch / "data" / _CHECKPOINT).rename(made / _CHECKPOINT)
    (made / _CHECKPOINT).chmod(0o644)
    (scratch / "data" / _CHECKPOINT).write_bytes((made / _CHECKPOINT).read_bytes())
    keep = f"-XX:ArchiveClassesAtExit={made / _CLASSES}"
    with (scratch / "broker.log").open("wb") as log:
        broker = subprocess.Popen([run[0], keep, *run[1:], "kafka.Kafka", str(config)], stdout=log, stderr=log)
    wait_for(lambda: answers(port) or broker.poll() is not None, "a broker")
    broker.terminate()
    broker.wait(60)
    assert (made / _CLASSES).exists(), f"the broker left no archive:\n{(scratch / 'broker.log').read_text()[-3000:]}"
    return made
