"""One broker for all processes of a test run: the first that asks starts it, and it ends when the last one has.

Each process that uses it holds a shared lock on a file; a keeper, which is the broker's parent, waits for the exclusive
one. The kernel frees locks whatever becomes of their holders, so a crashed run leaves neither a broker nor a keeper.
"""

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from support.kafka import Broker
from support.python_path import TESTS, environment

_UP: Final = b"up\n"


@contextmanager
def shared_broker(folder: Path) -> Iterator[str]:
    """The address of the one broker of this folder, which runs as long as the block."""
    folder.mkdir(exist_ok=True)
    address = folder / "address"
    with (folder / "users").open("w") as users:
        fcntl.flock(users, fcntl.LOCK_SH)  # waits while the keeper of an earlier broker ends it
        with (folder / "starting").open("w") as starting:
            fcntl.flock(starting, fcntl.LOCK_EX)
            if not address.exists():
                _start_keeper(folder)
        yield address.read_text()


def _start_keeper(folder: Path) -> None:
    """Start it as nobody's child, so that it may outlive this process; return once the broker is up."""
    log = folder / "keeper.log"
    with log.open("ab") as errors:
        started = subprocess.run(
            ["setsid", "--fork", sys.executable, "-m", "support.kafka_shared", str(folder)],
            env=environment(TESTS),
            stdout=subprocess.PIPE,  # its end is the signal
            stderr=errors,
            check=True,
        )
    assert started.stdout == _UP, f"there is no broker for the tests:\n{log.read_text()[-3000:]}"


def _keep(folder: Path) -> None:
    """Start the broker, and end it when nobody uses it any more."""
    broker = Broker(folder / "broker")
    broker.start()
    address, new = folder / "address", folder / "address.new"
    new.write_text(broker.address)
    new.rename(address)
    os.write(sys.stdout.fileno(), _UP)
    os.close(sys.stdout.fileno())
    with (folder / "users").open() as users:
        fcntl.flock(users, fcntl.LOCK_EX)
        broker.kill()
        address.unlink()
        shutil.rmtree(folder / "broker" / "data-1")


if __name__ == "__main__":
    _keep(Path(sys.argv[1]))
