"""``shipper check``: is a config right?"""

import argparse
import sys
from collections.abc import Sequence

from shipper.config import Config, load
from shipper.config.model import ProcessorSpec

HELP = "Check config files: show every problem with its line."

_EPILOG = """\
examples:
  shipper check agent.yaml
  shipper check /etc/shipper/conf.d
  shipper check --schema > shipper.schema.json   # for editors
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EPILOG
    parser.add_argument("config", nargs="*", metavar="CONFIG", help="a file, or a directory of *.yaml and *.yml")
    parser.add_argument("--schema", action="store_true", help="print the JSON Schema of config files and exit")


def execute(args: argparse.Namespace) -> int:
    """Check, and say what was found.

    :raises ConfigError: there are problems.
    """
    if args.schema:
        return _print_schema()
    if not args.config:
        sys.stderr.write("shipper check: name at least one config file or directory, as in: shipper check agent.yaml\n")
        return 2
    config = load(args.config)
    sys.stderr.write("".join(f"warning: {warning}\n" for warning in config.warnings))
    sys.stdout.write(summary(config))
    return 0


def summary(config: Config) -> str:
    """What the config does, in a few lines."""
    rows = [("sources", ", ".join(config.sources))]
    own = {name: source.processors for name, source in config.sources.items() if source.processors}
    rows += [(f"  {name}", _chain(processors)) for name, processors in own.items()]
    if config.processors:
        rows.append(("processors", _chain(config.processors) + (" (of every source, after its own)" if own else "")))
    elif not own:
        rows.append(("processors", "none"))
    rows.append(("sinks", ", ".join(config.sinks)))
    rows += [("data_dir", str(config.data_dir)), ("spool", f"at most {config.spool.max_bytes}")]
    return f"{config.name}: fine\n" + "".join(f"  {key:<12} {value}\n" for key, value in rows)


def _chain(processors: Sequence[ProcessorSpec]) -> str:
    return " -> ".join(spec.name for spec in processors)


def _print_schema() -> int:
    from shipper.config.schema import schema_text

    sys.stdout.write(schema_text())
    return 0
