"""``shipper run``: run an agent or a collector."""

import argparse
import asyncio
import gc
import os
import signal
import sys
from collections.abc import Callable

from shipper import config, lean, log
from shipper.errors import ConfigError, ShipperError

HELP = "Run an agent or a collector."
_log = log.get_logger("shipper")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.description = "Run what the config describes until SIGTERM or Ctrl-C; a second signal stops at once."
    parser.epilog = "example: shipper run /etc/shipper/agent.yaml"
    parser.add_argument("config", nargs="+", metavar="CONFIG", help="a file, or a directory of *.yaml and *.yml")
    parser.add_argument(
        "--once",
        action="store_true",
        help="read what is there, ship it, wait for every acknowledgement, and exit",
    )


def execute(args: argparse.Namespace) -> int:
    """Run; 0 after a clean stop, 1 when it had to end, 2 for a config that cannot be used."""
    log.configure()
    lean.tune_allocator()
    lean.raise_file_limit()
    try:
        loaded = config.load(args.config)
    except ConfigError as error:
        sys.stderr.write("".join(f"{problem}\n" for problem in error.problems))
        return 2
    for warning in loaded.warnings:
        _log.warning(warning)
    try:
        asyncio.run(_run(loaded, once=args.once))
    except ShipperError as error:
        _log.error(str(error))
        return 1
    return 0


async def _run(loaded: config.Config, *, once: bool) -> None:
    from shipper.pipeline import Pipeline  # what check does not need

    pipeline = Pipeline(loaded, once=once)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _on_stop, pipeline.stop, number, str(loaded.shutdown_timeout))
    loop.add_signal_handler(
        signal.SIGHUP,
        lambda: _log.warning("SIGHUP: a reload while running is not there yet; restart to apply a changed config"),
    )
    gc.freeze()  # what is there now stays: a collection takes a tenth of the time when it need not look at it
    code = 1
    try:
        await pipeline.run()
        code = 0
    finally:
        if pipeline.stuck:  # the interpreter would wait for the thread, for ever
            _log.error("a processor does not return: the process ends without it, its batch is read again")
            os._exit(code)
    _log.info("stopped")


_stopping: list[int] = []


def _on_stop(stop: Callable[[], None], number: int, timeout: str) -> None:
    """The first signal drains; a second one ends at once: what is durable stays, what is not was acknowledged to
    nobody.
    """
    if _stopping:
        os._exit(128 + number)
    _stopping.append(number)
    _log.info("stopping: what was read is shipped first; a second signal stops at once", at_most=timeout)
    stop()
