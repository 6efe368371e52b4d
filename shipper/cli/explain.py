"""``shipper explain``: what becomes of a record, and why."""

import argparse
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from shipper.config import Config, load
from shipper.errors import ConfigError, SpoolError

if TYPE_CHECKING:
    from shipper.trace import Tracer

HELP = "Send lines through a config's processors and say what each of them did, and why. Nothing is stored or shipped."

_EPILOG = """\
examples:
  tail -3 /var/log/app/app.log | shipper explain agent.yaml
  shipper explain agent.yaml access.log --source nginx
  shipper explain agent.yaml --dead-letter 7-20480-0
  shipper explain agent.yaml --plan
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EPILOG
    parser.add_argument("config", metavar="CONFIG", help="a file, or a directory of *.yaml and *.yml")
    parser.add_argument("file", nargs="?", metavar="FILE", help="lines to explain; without it, what comes from stdin")
    parser.add_argument("--source", metavar="NAME", help="whose processors are meant, where there are several sources")
    parser.add_argument("--dead-letter", metavar="ID", help="explain the record of a dead letter of 'shipper dlq'")
    parser.add_argument("--plan", action="store_true", help="print how the processors are run, and read nothing")


def execute(args: argparse.Namespace) -> int:
    """Explain; 0 whatever became of the records.

    :raises ConfigError: there are problems, or the file cannot be read.
    :raises SpoolError: there is no such dead letter, or it had been through the processors.
    """
    config = load([args.config])
    if args.plan:
        return _plan(config, args.source)
    if args.dead_letter is not None:
        return _letter(config, args.dead_letter, args.source)
    from shipper.trace import Tracer

    tracer = Tracer(config, args.source)
    try:
        if args.file is not None:
            try:
                with open(args.file, "rb") as lines:
                    _explain(config, tracer, lines)
            except OSError as error:
                raise ConfigError([f"{args.file}: {error.strerror}; name a file with the lines to explain"]) from error
        else:
            if sys.stdin.isatty():
                sys.stderr.write("type or paste lines; Ctrl-D ends\n")
            _explain(config, tracer, sys.stdin.buffer)
    finally:
        tracer.close()
    return 0


def _explain(config: Config, tracer: "Tracer", lines: Iterable[bytes]) -> None:
    from shipper.explain import explained

    for number, line in enumerate(lines):
        text = explained(config, tracer.trace(line.removesuffix(b"\n").removesuffix(b"\r")))
        sys.stdout.write(("\n" if number else "") + "".join(f"{row}\n" for row in text))
        sys.stdout.flush()  # lines may come slowly, as from tail -f


def _letter(config: Config, name: str, source: str | None) -> int:
    """Explain the record of a dead letter, with the labels that it had."""
    from shipper.batch import Format
    from shipper.chain.decode import objects
    from shipper.explain import explained
    from shipper.spool.letter_box import LetterBox
    from shipper.trace import Tracer

    (seen,) = LetterBox(config.data_dir / "spool").find([name])
    letter = seen.letter
    if letter.processed:
        text = f"{name} had been through the processors when {letter.processor} refused it: {letter.error}"
        raise SpoolError(f"{text}; 'shipper dlq show' prints it")
    tracer = Tracer(config, letter.source if source is None else source)
    try:
        trace = tracer.trace(objects([letter.raw])[0] if letter.format == Format.NDJSON else letter.raw, letter.labels)
    finally:
        tracer.close()
    cut = f"of its {letter.size} bytes only the first {len(letter.raw)} are kept"
    rows = [f"failed before: {letter.processor}: {letter.error}", *([cut] if letter.size > len(letter.raw) else [])]
    sys.stdout.write("".join(f"{row}\n" for row in [*rows, *explained(config, trace)]))
    return 0


def _plan(config: Config, source: str | None) -> int:
    from shipper.chain.plan import describe
    from shipper.trace import Tracer

    for name in config.sources if source is None else [source]:
        tracer = Tracer(config, name)
        rows = describe(tracer.chain, config.sources[tracer.source].gives)
        sys.stdout.write(f"source {name}\n" + "".join(f"  {row}\n" for row in rows))
        tracer.close()
    return 0
