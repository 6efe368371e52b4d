"""``shipper new``: the beginning of a package with a processor of one's own."""

import argparse
import re
import sys
from pathlib import Path
from typing import Final

from shipper.errors import ConfigError
from shipper.plugins import PROCESSOR, standard_names

HELP = "Begin a package with a processor of your own: a class, its test, its entry point, a config to try it."

_EPILOG = """\
example:
  shipper new processor mask_cards     # makes the folder shipper-mask-cards
"""
_NAME: Final = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")

_PROJECT: Final = """\
[build-system]
requires = ["setuptools>=70.1"]
build-backend = "setuptools.build_meta"

[project]
name = "{package}"
version = "0.1"
description = "A processor for shipper: {name}."
requires-python = ">=3.11"
dependencies = ["edge-shipper"]

# This is what makes `- {name}: {{...}}` work in a config once the package is installed beside shipper.
[project.entry-points."shipper.processors"]
{name} = "{module}:{cls}"

[tool.setuptools]
py-modules = ["{module}"]
"""
_CODE: Final = '''\
"""The processor {name}."""

from shipper import Processor, Record


class {cls}(Processor):
    """Say here what it does: this is its documentation.

    Example::

        processors:
          - {name}: {{field: message}}
    """

    field: str = "message"
    """The field to look at."""

    def process(self, record: Record) -> Record | list[Record] | None:
        """Return the record, several in its place, or None to drop it."""
        text = record.get(self.field)
        if not isinstance(text, str):
            raise ValueError(f"the field {{self.field}} is not text")  # the record's error: see on_error
        record[self.field] = text.strip()
        return record
'''
_TEST: Final = '''\
# ruff: noqa: S101 - tests assert
"""Run it with ``pytest`` in this folder, after ``pip install -e .``."""

from shipper.testing import ProcessorConformance, RunChain

from {module} import {cls}


class Test{cls}(ProcessorConformance):
    """Hostile records, batches of any size, restarts: what every processor must stand."""

    lines = ("  a line ", "another")

    def make(self) -> {cls}:
        """As a config would make it."""
        return {cls}()


def test_it_does_what_it_is_for(run_chain: RunChain) -> None:
    """One line in, one record out."""
    assert run_chain({cls}(), ["  a line "]).records == [{{"message": "a line"}}]
'''
_CONFIG: Final = """\
# Try it: echo "  a line " | shipper explain agent.yaml
sources:
  app: {{type: file, include: [/var/log/app/*.log]}}
processors:
  - {name}
sinks:
  out: {{type: stdout}}
"""
_CASES: Final = """\
# Run them: shipper test agent.yaml
cases:
  - name: blanks at both ends go
    input: "  a line "
    expect: {{message: a line}}
"""
_README: Final = """\
# {package}

A processor for shipper.

    pip install -e .            # beside shipper
    pytest                      # its own test, and what every processor must stand
    shipper test agent.yaml     # the cases in agent.test.yaml

What a processor may rely on, and what it costs, stands in shipper's guide to processors.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EPILOG
    parser.add_argument("kind", choices=["processor"], help="what it is to be")
    parser.add_argument("name", metavar="NAME", help="its name in a config: small letters, digits, underscores")


def execute(args: argparse.Namespace) -> int:
    """Write the package into a new folder of the working directory.

    :raises ConfigError: the name cannot be one, or the folder cannot be made.
    """
    name: str = args.name
    if not _NAME.fullmatch(name):
        suggested = re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")
        hint = f", as in {suggested}" if _NAME.fullmatch(suggested) else ", as in mask_cards"
        raise ConfigError([f"'{name}' cannot be a processor's name: write small letters, digits, underscores{hint}"])
    if name in standard_names(PROCESSOR):
        raise ConfigError([f"there is a standard processor '{name}': choose another name, or a config would mean that"])
    words = {
        "name": name,
        "package": f"shipper-{name.replace('_', '-')}",
        "module": f"shipper_{name}",
        "cls": "".join(part.capitalize() for part in name.split("_")),
    }
    folder = Path(words["package"])
    files = {
        "pyproject.toml": _PROJECT,
        f"{words['module']}.py": _CODE,
        f"test_{name}.py": _TEST,
        "agent.yaml": _CONFIG,
        "agent.test.yaml": _CASES,
        "README.md": _README,
    }
    try:
        folder.mkdir()
        for file, text in files.items():
            (folder / file).write_text(text.format(**words))
    except FileExistsError as error:
        raise ConfigError([f"{folder} is there already: choose another name, or remove it"]) from error
    except OSError as error:
        raise ConfigError([f"{folder} cannot be made: {error.strerror}; call this where you may write"]) from error
    sys.stdout.write(f"{folder}/: {', '.join(files)}\nnext: cd {folder} && pip install -e . && pytest\n")
    return 0
