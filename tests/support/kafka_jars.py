"""The jars of Apache Kafka, from Maven into a cache folder: once a machine, and those of ``tests/kafka/jars.sha256``.

``python tests/support/kafka_jars.py`` fetches them, or says what a broker needs and this machine lacks; with ``list``
it prints what ``jars.sha256`` has to say after another version was written into ``pom.xml``.
"""

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

_FOLDER: Final = Path(__file__).parent.parent / "kafka"
_POM: Final = _FOLDER / "pom.xml"
_SUMS: Final = _FOLDER / "jars.sha256"
_COPY: Final = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_JAVA_AT_LEAST: Final = 17


def missing() -> list[str]:
    """What a broker needs and this machine lacks, in words; empty when one can run."""
    lacks = []
    version = _java_version()
    if version is None:
        lacks.append("Java")
    elif version < _JAVA_AT_LEAST:
        lacks.append(f"Java {_JAVA_AT_LEAST} or newer (java is {version})")
    if not _cache().exists() and shutil.which("mvn") is None:
        lacks.append("Maven")
    if shutil.which("kcat") is None:
        lacks.append("kcat")
    return lacks


def fetch() -> Path:
    """The folder with all jars. Any number of processes may ask at once.

    :raises RuntimeError: Maven could not get them, or what it got is not what ``jars.sha256`` names.
    """
    folder = _cache()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
                new = _copy(Path(scratch))
                found, expected = sums(new), _SUMS.read_text()
                if found != expected:
                    different = "\n".join(sorted(set(found.splitlines()) ^ set(expected.splitlines())))
                    raise RuntimeError(f"Maven's jars are not those of {_SUMS}; these lines differ:\n{different}")
                new.rename(folder)
    return folder


def class_path() -> str:
    """What ``java -cp`` takes; see ``fetch``."""
    return f"{fetch()}/*"


def sums(folder: Path) -> str:
    """The jars of a folder as ``sha256sum`` lists them, by name."""
    return "".join(
        f"{hashlib.sha256(jar.read_bytes()).hexdigest()}  {jar.name}\n" for jar in sorted(folder.glob("*.jar"))
    )


def _copy(scratch: Path) -> Path:
    """All jars of the pom, in a new folder."""
    jars = scratch / "jars"
    command = ["mvn", "--quiet", "--batch-mode", "--strict-checksums", f"--file={_POM}", _COPY]
    done = subprocess.run(
        [*command, f"-DoutputDirectory={jars}"], cwd=scratch, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"Maven could not fetch Kafka's jars:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return jars


def _cache() -> Path:
    """Another list of jars, another folder: a change of the version fetches anew."""
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return home / "shipper-ci" / f"kafka-{hashlib.sha256(_SUMS.read_bytes()).hexdigest()[:16]}"


def _java_version() -> int | None:
    if shutil.which("java") is None:
        return None
    said = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    found = re.search(r'version "(\d+)', said)
    return int(found[1]) if found else None


if __name__ == "__main__":
    if lacks := missing():
        sys.exit(
            f"a Kafka broker for the tests needs Java, Maven and kcat; this machine has no {' and no '.join(lacks)}"
        )
    if sys.argv[1:] == ["list"]:
        with tempfile.TemporaryDirectory() as fresh:
            sys.stdout.write(sums(_copy(Path(fresh))))
    else:
        sys.stdout.write(f"{fetch()}\n")
