"""What the conformance suite says of a processor that names less than it reads."""

from collections.abc import Sequence
from typing import ClassVar

import pytest

from shipper.batch import Record
from shipper.processor import Processor
from shipper.testing import Line, ProcessorConformance


class Peeks(Processor):
    """Says of a status to which class it belongs, and looks at what it does not name."""

    names: ClassVar[frozenset[str]] = frozenset({"status"})
    instead: bool = False

    @property
    def reads(self) -> frozenset[str]:
        """Too little."""
        return self.names

    @property
    def writes(self) -> frozenset[str]:
        """All that it writes."""
        return frozenset({"class"})

    def process(self, record: Record) -> Record:
        """Look at another field, or at one where the other is missing."""
        other = record.get("other", record.get("path")) if self.instead else record.get("other")
        return {**record, "class": f"{record.get('status')}/{other}"}


class PeeksConformance(ProcessorConformance):
    """The suite for it. No test class: it is to fail."""

    lines: ClassVar[Sequence[Line]] = ({"status": 1, "other": 2, "path": "/"}, {"status": 2, "other": 2, "path": "/"})

    def make(self) -> Processor:
        """As a config would make it."""
        return Peeks()


class PeeksTwiceConformance(PeeksConformance):
    """The same, where one field stands for the other."""

    lines = ({"status": 1, "other": "/", "path": "/"},)

    def make(self) -> Processor:
        """As a config would make it."""
        return Peeks(instead=True)


class Honest(Peeks):
    """Names all that it reads."""

    names = frozenset({"status", "other"})


class TestHonest(PeeksConformance):
    """Passes."""

    def make(self) -> Processor:
        """As a config would make it."""
        return Honest(where="exists(path)")


class Masks(Processor):
    """Says that it writes nothing, and writes."""

    @property
    def writes(self) -> frozenset[str]:
        """Not so."""
        return frozenset()

    def suspects(self, data: bytes) -> list[int]:
        """Finds nothing."""
        del data
        return []

    def process(self, record: Record) -> Record | None:
        """Takes out what it did not suspect."""
        return None if "secret" in record else record


class MasksConformance(PeeksConformance):
    """The suite for it."""

    lines = ({"secret": 1}, {"n": 1})

    def make(self) -> Processor:
        """As a config would make it."""
        return Masks()


def test_a_field_that_is_read_and_not_named_is_told() -> None:
    with pytest.raises(AssertionError, match=r"^it reads other, which `reads` does not name: in a chain that runs"):
        PeeksConformance().test_it_reads_only_the_fields_that_it_declares()


def test_fields_of_which_one_stands_for_the_other_are_told_together() -> None:
    with pytest.raises(AssertionError, match=r"^it reads other or path, which `reads` does not name"):
        PeeksTwiceConformance().test_it_reads_only_the_fields_that_it_declares()


def test_a_plan_that_comes_to_something_else_is_told() -> None:
    for suite in (PeeksConformance(), MasksConformance()):
        with pytest.raises(AssertionError, match=r"^a plan, which trusts what the processor says of itself, gives "):
            suite.test_a_plan_comes_to_what_it_does_by_itself()
