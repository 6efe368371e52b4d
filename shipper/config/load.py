"""Paths -> Config."""

import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shipper.config.components import Builder, is_everywhere
from shipper.config.decode import BAD, Decoder, join
from shipper.config.document import Mapping, Node, Scalar
from shipper.config.files import read_all
from shipper.config.kinds import settings
from shipper.config.loops import loops
from shipper.config.model import BUILT, NOT_IN_FILES, AdminConfig, Config
from shipper.config.problems import Place, Problems
from shipper.plugins import suggest


def load(paths: Sequence[str | Path]) -> Config:
    """The config of some files and directories, merged, with every component built and checked.

    :raises ConfigError: with every problem that was found, each ``file:line: path: what was found, what was expected``.
    """
    problems = Problems()
    files = [Path(path) for path in paths]
    node = read_all(files, problems)
    problems.raise_if_broken()  # with a file or a half of it missing, what follows would be wrong
    config = _config(node, Path(os.path.abspath(files[0])).stem, problems)
    problems.raise_if_any()
    assert config is not None  # noqa: S101 - it is missing only where there are problems
    return config


def _config(node: Mapping, name: str, problems: Problems) -> Config | None:
    decoder = Decoder(problems)
    builder = Builder(Decoder(problems, beside=True))
    top = Place(node.place.file, 1)
    known = {setting.name: setting for setting in settings(Config) if setting.name not in NOT_IN_FILES}
    values: dict[str, Any] = {"name": name}
    if node.items and not known.keys() & node.items.keys():  # some other file: its contents are nobody's business
        problems.add(top, "", f"this is no shipper config: it has none of the keys {', '.join(known)}")
        return None
    for key, value in node.items.items():
        if key not in known:
            problems.add(node.keys[key], join("", key), "unknown key" + suggest(key, known))
        elif key not in BUILT:
            values[key] = decoder.decode(value, known[key].type, key, node.keys[key])
    if isinstance(admin := values.get("admin"), AdminConfig):
        builder.reserve(admin.listen, "admin", node.keys["admin"])
    # Sources first: their processors run first, and are the first to get a name.
    values["labels"] = builder.labels(_part(node, "labels"), "labels")
    values["sources"] = builder.sources(_part(node, "sources"))
    values["processors"] = builder.processors(_part(node, "processors"), "processors")
    values["sinks"] = builder.sinks(_part(node, "sinks"))
    values["labels"].setdefault("host", socket.gethostname())
    values["warnings"] = builder.warnings
    values["data_dir"] = _data_dir(values.get("data_dir"), name, top, problems)
    if any(value is BAD for value in values.values()):
        return None
    config = Config(**values)
    if config.admin and is_everywhere(config.admin.listen):
        place = node.keys["admin"]
        config.warnings.append(f"{place}: admin.listen: listens on every interface: whoever reaches the port can read")
    for name, text in loops(config):
        sources = _part(node, "sources")
        place = sources.keys[name] if isinstance(sources, Mapping) else top
        config.warnings.append(f"{place}: {join('sources', name)}: {problems.redacted(text)}")
    return config


def _part(node: Mapping, key: str) -> Node:
    """A top-level section; one that is not there is as one with nothing in it."""
    return node.items.get(key, Scalar(place=node.place, text=""))


def _data_dir(given: Any, name: str, top: Place, problems: Problems) -> Any:
    """Absolute, so that a process that changes its directory stays with its data."""
    if given is not None:
        return given if given is BAD else Path(os.path.abspath(given))
    state = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if state:
        return Path(os.path.abspath(state))
    try:
        return Path.home() / ".local" / "state" / "shipper" / name
    except RuntimeError:
        problems.add(top, "data_dir", "is not set, and there is no home directory for its default; set it")
        return BAD
