"""The ``shipper`` command. One module a command, imported only when that command is called.

A command module has ``HELP`` (one line), ``configure(parser)`` and ``execute(args) -> int``; where a word behind the
command says what to do, ``ACTIONS`` has these words. Exit codes: 0 fine, 1 failed, 2 wrong usage or config.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Any, Final, NoReturn

from shipper import lean
from shipper.errors import ConfigError, ShipperError
from shipper.version import VERSION

_COMMANDS: Final = ("run", "check", "explain", "test", "new", "spool", "dlq", "audit", "tokens", "demo")
_EPILOG: Final = """\
example:
  shipper check agent.yaml && shipper run agent.yaml

'shipper COMMAND --help' shows what a command takes. Exit codes: 0 fine, 1 failed, 2 wrong usage or config.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; returns the exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        return _execute(_parse(arguments))
    except SystemExit as stop:  # argparse: --help, --version, wrong usage
        return stop.code if isinstance(stop.code, int) else 2
    except ConfigError as error:
        sys.stderr.write("".join(f"{problem}\n" for problem in error.problems))
        return 2
    except ShipperError as error:
        sys.stderr.write(f"shipper: {error}\n")
        return 1
    except KeyboardInterrupt:
        return 1
    except BrokenPipeError:  # "| head" has seen enough; nothing more can be written, not even by the interpreter
        sys.stdout = None
        return 1


def _execute(args: argparse.Namespace) -> int:
    code: int = args.execute(args)
    sys.stdout.flush()  # a broken pipe shows here, and not at the interpreter's end
    return code


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="shipper",
        description="Ships log files from edge nodes to a central collector, exactly once in effect.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"shipper {VERSION}")
    called = [argument for argument in arguments if not argument.startswith("-")]
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True)
    if not called:
        named = [] if "--version" in arguments else list(_COMMANDS)
    elif called[0] in _COMMANDS:
        named = called[:1]
    else:
        _unknown(parser, "command", called[0], _COMMANDS)
    lean.import_asyncio_without_ssl()
    for name in named:
        module: Any = importlib.import_module(f"shipper.cli.{name}")
        subparser = subparsers.add_parser(
            name,
            help=module.HELP,
            description=module.HELP,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        module.configure(subparser)
        actions = getattr(module, "ACTIONS", None)
        if actions is not None and called[1:] and called[1] not in actions:
            _unknown(subparser, "action", called[1], actions)
        subparser.set_defaults(execute=module.execute)
    return parser.parse_args(arguments)


def _unknown(parser: argparse.ArgumentParser, noun: str, word: str, known: Sequence[str]) -> NoReturn:
    from shipper.plugins import suggest

    parser.error(f"there is no {noun} '{word}'{suggest(word, known)}")
