"""The standard processors are written against the public API, and so are those of others."""

import ast
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest

import shipper
import shipper_processors
from shipper import Processor, Record
from shipper.testing import Line, ProcessorConformance, RunChain

FOLDER = Path(shipper_processors.__path__[0])
FILES = sorted(path for path in FOLDER.glob("*.py") if path.name != "__init__.py")
ALLOWED = {*sys.stdlib_module_names, "msgspec", "orjson"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_processor_imports_only_public_names(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            assert all(name.name.split(".")[0] in ALLOWED for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "shipper":
            assert {name.name for name in node.names} <= set(shipper.__all__)
        elif isinstance(node, ast.ImportFrom) and node.module != "shipper_processors":
            package, _, module = (node.module or "").partition(".")
            assert package in ALLOWED or (package == "shipper_processors" and module.startswith("_"))
        elif isinstance(node, ast.ImportFrom):
            assert all(name.name.startswith("_") for name in node.names)


@pytest.mark.parametrize("path", [path for path in FILES if path.stem[0] != "_"], ids=lambda path: path.stem)
def test_a_processor_shows_an_example_in_its_documentation(path: Path) -> None:
    (cls,) = [node for node in ast.parse(path.read_text("utf-8")).body if isinstance(node, ast.ClassDef)]
    assert re.search(r"Example::\n\n +processors:\n +- " + path.stem, ast.get_docstring(cls) or "")


def calls(node: ast.AST) -> set[str]:
    """What is called in a piece of code."""
    return {ast.unparse(inner.func) for inner in ast.walk(node) if isinstance(inner, ast.Call)}


@pytest.mark.parametrize("path", [path for path in FILES if path.stem[0] != "_"], ids=lambda path: path.stem)
def test_a_processor_has_a_conformance_suite(path: Path) -> None:
    (cls,) = [node.name for node in ast.parse(path.read_text("utf-8")).body if isinstance(node, ast.ClassDef)]
    made: set[str] = set()
    for tests in Path(__file__).parent.glob("test_*.py"):
        body = ast.parse(tests.read_text("utf-8")).body
        suites = [
            n for n in body if isinstance(n, ast.ClassDef) and "ProcessorConformance" in map(ast.unparse, n.bases)
        ]
        called = set().union(*map(calls, suites))
        made |= called.union(*(calls(n) for n in body if isinstance(n, ast.FunctionDef) and n.name in called))
    assert cls in made


class DropMatching(Processor):
    """Drop records whose field matches a regular expression."""

    pattern: re.Pattern[str]
    field: str = "message"

    def process(self, record: Record) -> Record | list[Record] | None:
        """The example of the documentation."""
        return None if self.pattern.search(str(record.get(self.field) or "")) else record


class TestDropMatching(ProcessorConformance):
    """The example conforms."""

    lines = ("a", "b", "x", b"\xff")

    def make(self) -> Processor:
        """As a config would make it."""
        return DropMatching(pattern=re.compile("x"))


def test_the_example_of_the_documentation_works(run_chain: RunChain) -> None:
    result = run_chain(DropMatching(pattern=re.compile("x")), ["a", "x"])
    assert (result.records, result.dropped) == ([{"message": "a"}], {"drop_matching/filtered": 1})


def test_a_setting_that_does_not_exist_is_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match="unknown field `patern`"):
        msgspec.convert({"patern": "x", "pattern": "y"}, DropMatching, dec_hook=lambda _, text: re.compile(text))


class Careless(Processor):
    """Breaks every promise."""

    writes: ClassVar[frozenset[str] | None] = frozenset({"a"})

    def setup(self) -> None:
        """Remember something that no snapshot has."""
        self.seen = 0

    def process_lines(self, lines: list[bytes]) -> list[Record | Exception] | None:
        """Something else than ``process``."""
        return [{"line": line.decode("utf-8", "replace")} for line in lines]

    def process(self, record: Record) -> Record:
        """What was seen before matters."""
        self.seen += 1
        return {"b": self.seen}


class CarelessConformance(ProcessorConformance):
    """The suite for it. No test class: it is to fail."""

    lines: ClassVar[Sequence[Line]] = ("a", "b")

    def make(self) -> Processor:
        """As a config would make it."""
        return Careless()


class CarelessRecords(CarelessConformance):
    """The same with records: then ``process`` is called."""

    lines = ({"c": 1}, {"c": 2})


def test_the_suite_finds_what_is_wrong() -> None:
    with pytest.raises(AssertionError):
        CarelessConformance().test_lines_parsed_at_once_equal_lines_parsed_one_by_one()
    suite = CarelessRecords()
    for test in (
        suite.test_the_size_of_batches_makes_no_difference,
        suite.test_hostile_records_harm_no_others,
        suite.test_its_state_survives_a_restart,
        suite.test_it_changes_only_the_fields_that_it_declares,
    ):
        with pytest.raises(AssertionError):
            test()
