"""Which files a command line names, and how several make one config."""

import os
from pathlib import Path

from shipper.config.document import Mapping, Node, Scalar, Sequence, read
from shipper.config.problems import Place, Problems

_SUFFIXES = (".yaml", ".yml")
TESTS = ".test.yaml"
"""How the name of a file ends that holds the cases of a config (``shipper test``), and is none itself."""


def read_all(paths: list[Path], problems: Problems) -> Mapping:
    """The merged content of files and directories, in their order (a directory's files by name)."""
    whole = Mapping(place=Place(str(paths[0]), 1))
    for path in paths:
        for file in _files(path, problems):
            problems.expect(str(file))
            part = read(file, problems)
            if part is not None:
                _merge(whole, part, problems)
    return whole


def _files(path: Path, problems: Problems) -> list[Path]:
    if not path.is_dir():
        return [path]
    try:
        found = sorted(path / name for name in os.listdir(path) if _is_config(name))
    except OSError as error:
        problems.add(Place(str(path), 0), "", f"cannot be read: {error.strerror}")
        return []
    if not found:
        problems.add(Place(str(path), 0), "", "the directory holds no *.yaml or *.yml")
    return found


def _is_config(name: str) -> bool:
    return name.endswith(_SUFFIXES) and not name.endswith(TESTS) and name[0] != "."


def _merge(whole: Mapping, part: Mapping, problems: Problems) -> None:
    """Lists go one after the other; of mappings the names are joined; anything else can be defined only once."""
    for key, node in part.items.items():
        place = part.keys[key]
        there = whole.items.get(key)
        if there is None or _nothing(there):
            whole.items[key] = _copy(node)
            whole.keys[key] = place
        elif isinstance(there, Sequence) and isinstance(node, Sequence):
            there.items.extend(node.items)
        elif isinstance(there, Mapping) and isinstance(node, Mapping):
            for name, item in node.items.items():
                if name in there.items:
                    text = f"is defined twice; first at {there.keys[name]}"
                    problems.add(node.keys[name], f"{key}.{name}", text, readable=True)
                else:
                    there.items[name] = item
                    there.keys[name] = node.keys[name]
        elif not _nothing(node):
            problems.add(place, key, f"is defined twice; first at {whole.keys[key]}", readable=True)


def _nothing(node: Node) -> bool:
    return isinstance(node, Scalar) and node.null


def _copy(node: Node) -> Node:
    """A top-level value that other files add to: what the file itself shares by an alias stays as it is."""
    if isinstance(node, Sequence):
        return Sequence(place=node.place, items=list(node.items))
    if isinstance(node, Mapping):
        return Mapping(place=node.place, items=dict(node.items), keys=dict(node.keys))
    return node
