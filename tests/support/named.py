"""The tests that documents name, as ``path::name``."""

import ast
from functools import cache
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).parents[2]


@cache
def names_in(path: str) -> frozenset[str]:
    """What pytest would collect from a file, by its syntax. ``path``: from the root of the tree."""
    tree = ast.parse((_ROOT / path).read_text("utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    found = {node.name for node in tree.body if isinstance(node, functions)}
    assigned = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    found |= {method.name for one in classes for method in one.body if isinstance(method, functions)}
    return frozenset(found | {target.id for target in assigned if isinstance(target, ast.Name)})
