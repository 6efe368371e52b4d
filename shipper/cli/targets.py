"""What commands that look into a data directory are told: a config, or the directory itself."""

import argparse
import os
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from shipper.errors import ConfigError, SpoolDenied

TARGET_HELP: Final = "a config file (or a directory of them), or a data directory"
_DEFAULT_MAX_BYTES: Final = 1 << 30


class AddAction(Protocol):
    """Declares an action of a command."""

    def __call__(self, name: str, text: str, example: str, *first: tuple[str, str]) -> argparse.ArgumentParser:
        """``text`` is its help; ``first`` are arguments before the target, each a name and its help."""
        ...


def actions_of(parser: argparse.ArgumentParser, command: str) -> AddAction:
    """What declares the actions of a command that looks into a data directory: each takes a target."""
    actions = parser.add_subparsers(metavar="ACTION", required=True, dest="action")

    def add(name: str, text: str, example: str, *first: tuple[str, str]) -> argparse.ArgumentParser:
        made = actions.add_parser(
            name, help=text, description=text, epilog=f"example: shipper {command} {example}", allow_abbrev=False
        )
        for argument, said in first:
            made.add_argument(argument, metavar=argument.upper(), help=said)
        made.add_argument("target", metavar="TARGET", type=Path, help=TARGET_HELP)
        return made

    return add


class Target(NamedTuple):
    """What the command line names."""

    data_dir: Path
    root: Path
    """The spool's directory."""
    max_bytes: int
    sinks: frozenset[str] = frozenset()
    """Those of the config, where it was named."""


def find_target(path: Path) -> Target:
    """:raises ConfigError: there is no spool. :raises SpoolDenied: the user may not look."""
    if not path.is_dir():
        if not os.path.lexists(path):
            raise ConfigError([f"{path}: no such file or directory; name a config file or a data directory"])
        return _configured(path)
    try:
        names = set(os.listdir(path))
    except PermissionError as error:
        raise SpoolDenied(f"permission denied: {path}; call this as the user of the spool, or as root") from error
    if "spool" in names:
        return Target(path, path / "spool", _DEFAULT_MAX_BYTES)
    if "stream" in names or any(name.endswith(".seg") for name in names):
        return Target(path.absolute().parent, path, _DEFAULT_MAX_BYTES)
    if any(name.endswith((".yaml", ".yml")) for name in names):
        return _configured(path)
    raise ConfigError([f"{path}: no data directory of shipper: it holds no spool"])


def _configured(path: Path) -> Target:
    from shipper import config

    loaded = config.load([path])
    root = loaded.data_dir / "spool"
    try:
        root.stat()
    except PermissionError as error:
        raise SpoolDenied(f"permission denied: {root}; call this as the user of the spool, or as root") from error
    except OSError as error:
        text = (
            f"{path}: its data_dir {loaded.data_dir} holds no spool: nothing ran with it yet, or with another one "
            "(systemd sets it where the config does not); then name that directory, as in /var/lib/shipper-agent"
        )
        raise ConfigError([text]) from error
    return Target(loaded.data_dir, root, int(loaded.spool.max_bytes), frozenset(loaded.sinks))
