"""The page of promises names tests that are there, and a reader finds the page."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = "docs/reliability/promises.md"
NAME = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")
ROWS = [
    [cell.strip() for cell in line.split("|")[1:-1]]
    for line in (ROOT / PAGE).read_text("utf-8").splitlines()
    if line.startswith("| ") and not line.startswith(("| What is said", "|--"))
]


@cache
def names_in(path: str) -> frozenset[str]:
    """What pytest would collect from a file, by its syntax."""
    tree = ast.parse((ROOT / path).read_text("utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    found = {node.name for node in tree.body if isinstance(node, functions)}
    assigned = [target for node in tree.body if isinstance(node, ast.Assign) for target in node.targets]
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    found |= {method.name for one in classes for method in one.body if isinstance(method, functions)}
    return frozenset(found | {target.id for target in assigned if isinstance(target, ast.Name)})


@pytest.mark.parametrize(("path", "name"), sorted({match for row in ROWS for match in NAME.findall(" ".join(row))}))
def test_a_test_that_a_promise_names_is_there(path: str, name: str) -> None:
    assert name.lower().startswith("test")
    assert name in names_in(path)


def test_every_promise_names_a_test_or_says_that_it_has_none() -> None:
    assert len(ROWS) > 150
    for row in ROWS:
        assert len(row) == 3, row
        assert NAME.search(row[1]) or row[1].startswith(("no test: ", "not met: ")), row
        assert row[2] in ("", "broken"), row
        assert row[2] == "" or NAME.search(row[1]), row


def test_a_reader_finds_the_page() -> None:
    assert f"({PAGE})" in (ROOT / "README.md").read_text("utf-8")


def test_the_readme_says_what_is_not_promised() -> None:
    said = re.sub(r"\s+", " ", (ROOT / "README.md").read_text("utf-8"))
    for words in (
        "overwritten or deleted before they could be read (they are counted)",
        "a copied or restored data directory (at least once, with an alarm)",
        "several collectors for one agent (at least once over all of them, and in order at each of them alone)",
    ):
        assert words in said
