"""Names of fields in settings."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper import Condition
from shipper_processors import _paths
from shipper_processors._paths import ABSENT, Path


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("status", ("status",)),
        ("http.status", ("http", "status")),
        ("@timestamp", ("@timestamp",)),
        ("http.user-agent", ("http", "user-agent")),
        ("two words", ("two words",)),
        ("field('a.b')", ("a.b",)),
        ("field('http', 'user-agent')", ("http", "user-agent")),
        ("field('a.b').c", ("a.b", "c")),
        ('field("it\'s", "")', ("it's", "")),
        ("fields", ("fields",)),
    ],
)
def test_a_name_has_parts(name: str, path: Path) -> None:
    assert _paths.parse(name) == path


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        " a",
        "a ",
        "field()",
        "field(1)",
        "field('a'",
        "field(a)",
        "field(x='a')",
        "a." * 60,
    ],
)
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r"is not a field's name|nested too deep"):
        _paths.parse(name)


def test_a_name_that_no_program_could_read_is_refused() -> None:
    with pytest.raises(ValueError, match="is not a field's name"):
        _paths.parse("field(" * 5000)


PARTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
PATHS = st.lists(st.sampled_from(["a", "b", "a.b", "@x", "", "it's"]) | PARTS, min_size=1, max_size=4).map(tuple)


@given(PATHS)
def test_a_name_that_is_shown_can_be_read_again(path: Path) -> None:
    assert _paths.parse(_paths.show(path)) == path


@given(st.lists(st.sampled_from(["a", "b", "@x", "a.b"]), min_size=1, max_size=4).map(tuple))
def test_a_name_means_in_a_setting_what_it_means_in_a_condition(path: Path) -> None:
    record: dict[str, Any] = {}
    _paths.put(record, path, "found")
    condition = Condition.parse(f"{_paths.show(path)} == 'found'")
    assert condition.select([record], {}) == [record]
    assert condition.fields == {path[0]}


@given(PATHS, st.integers())
def test_what_is_put_is_found_and_taken_out_again(path: Path, value: int) -> None:
    record: dict[str, Any] = {}
    assert _paths.get(record, path) is ABSENT
    assert _paths.pop(record, path) is ABSENT
    _paths.put(record, path, value)
    assert _paths.get(record, path) == value
    assert _paths.pop(record, path) == value
    assert _paths.get(record, path) is ABSENT


def test_null_is_there() -> None:
    assert _paths.get({"a": {"b": None}}, ("a", "b")) is None


@pytest.mark.parametrize("value", [None, 1, "b", ["b"]])
def test_only_objects_have_fields(value: Any) -> None:
    record = {"a": {"x": value}}
    assert _paths.get(record, ("a", "x", "b")) is ABSENT
    assert _paths.pop(record, ("a", "x", "b")) is ABSENT
    with pytest.raises(ValueError, match=r"a\.x\.b\.c cannot be set: a\.x is not an object"):
        _paths.put(record, ("a", "x", "b", "c"), 1)
    assert record == {"a": {"x": value}}


def test_an_object_that_becomes_empty_stays() -> None:
    record: dict[str, Any] = {"a": {"b": 1}}
    _paths.pop(record, ("a", "b"))
    assert record == {"a": {}}
