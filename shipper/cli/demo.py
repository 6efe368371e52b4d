"""``shipper demo``: see it work, with faults, on this machine."""

import argparse
import asyncio
import io
import shutil
import signal
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from shipper.errors import DemoError

if TYPE_CHECKING:
    from shipper.demo.view import View

HELP = "Show an agent and a collector at work while the network and the collector fail, then count every line."

_LEAST, _MOST = 5.0, 86400.0
_EPILOG: Final = """\
example:
  shipper demo
  shipper demo --keep --dir /tmp/demo   # stays up; look around, then press Ctrl-C

Everything runs on 127.0.0.1 with free ports and in a temporary directory that is removed in the end. Exit code 0 means
that nothing was lost, doubled or altered.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EPILOG
    parser.add_argument("--keep", action="store_true", help="stay up and keep writing until Ctrl-C")
    parser.add_argument("--dir", type=Path, metavar="DIR", help="work in this empty or new directory, and leave it")
    parser.add_argument(
        "--seconds", type=_seconds, default=30.0, metavar="N", help="how long lines are written: 30, at least 5"
    )


def execute(args: argparse.Namespace) -> int:
    """Show it; 0 when all is well.

    :raises DemoError: it cannot be shown.
    """
    from shipper.demo.view import View

    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal without UTF-8 shows question marks, not a traceback
    view = View(sys.stdout)
    try:
        return asyncio.run(_until_signal(args, view))
    finally:
        view.close()


def _seconds(text: str) -> float:
    seconds = float(text)
    if not _LEAST <= seconds <= _MOST:
        raise argparse.ArgumentTypeError(f"{text} is not between {_LEAST:g} and {_MOST:g}")
    return seconds


def _folder(wanted: Path | None) -> Path:
    """The directory to work in.

    :raises DemoError: it cannot be used.
    """
    if wanted is None:
        return Path(tempfile.mkdtemp(prefix="shipper-demo-"))
    try:
        wanted.mkdir(parents=True, exist_ok=True)
        if any(wanted.iterdir()):
            raise DemoError(f"{wanted} is not empty; name a new directory")
    except OSError as error:
        raise DemoError(f"{wanted} cannot be used: {error.strerror}") from error
    return wanted.resolve()


async def _until_signal(args: argparse.Namespace, view: "View") -> int:
    """Show it. A signal ends it at once; with ``--keep`` the first one only ends the writing."""
    leave = asyncio.Event()
    showing = asyncio.ensure_future(_show(args, view, leave))

    def on_signal() -> None:
        if args.keep and not leave.is_set():
            leave.set()
        else:
            showing.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, on_signal)
    await asyncio.wait({showing})
    if showing.cancelled():
        view.say("stopped before the end; nothing was counted")
        return 1
    return 0 if showing.result() else 1


async def _show(args: argparse.Namespace, view: "View", leave: asyncio.Event) -> bool:
    from shipper.demo.story import Story
    from shipper.demo.view import BOLD

    folder = _folder(args.dir)
    passing = args.dir is None
    try:
        view.say(view.paint("shipper demo", BOLD) + ": an agent follows two logs and ships them to a collector.")
        view.say(f"For {args.seconds:g} seconds an application writes. Meanwhile the connection is cut, a log is")
        view.say("rotated, and the collector is killed. Then every line is looked for.\n")
        well = await Story(folder, args.seconds, view, leave, keep=args.keep).run()
        passing = passing and well
    except DemoError as error:
        passing = False
        raise DemoError(f"{error}\nEverything is kept for a look: {folder}") from error
    finally:
        if passing:
            shutil.rmtree(folder, ignore_errors=True)
    return well
