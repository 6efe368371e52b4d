"""One mistake for every call in a file that makes something durable: that call left out."""

import ast
from collections.abc import Iterator
from typing import Final

SYNCS: Final = ("sync", "sync_folder", "fdatasync", "fsync")


def unsynced(source: str) -> Iterator[tuple[str, str]]:
    """What each of them is, in words, and the whole file without the call."""
    lines = source.splitlines(keepends=True)
    tree = ast.parse(source)
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
            continue
        call = node.value.func
        if not (isinstance(call, ast.Attribute) and call.attr in SYNCS):
            continue
        owners = [one for one in functions if one.lineno <= node.lineno <= (one.end_lineno or 0)]
        owner = max(owners, key=lambda one: one.lineno)
        first, last = node.lineno - 1, node.end_lineno or node.lineno
        text = "".join([*lines[:first], " " * node.col_offset + "pass\n", *lines[last:]])
        yield f"`{owner.name}` calls `{ast.unparse(node.value)}` (line {node.lineno})", text
