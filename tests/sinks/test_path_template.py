"""Path templates: no label leaves the root, different labels give different paths."""

import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.sinks.file.path_template import CannotRender, PathTemplate, safe_name, successor

NOON = 1_700_000_000_000_000
"""2023-11-14 22:13:20 UTC."""
NASTY = st.one_of(
    st.text(st.characters(), max_size=300),
    st.text("./%~-\\\0\n\x7f é\ud800", max_size=40),
    st.sampled_from(["", ".", "..", "/", "../..", "%", "%empty", "%2E", "a" * 300, "é" * 200, "~", "nul\0", "-rf"]),
)


@pytest.mark.parametrize(
    ("template", "example"),
    [
        ("/all.ndjson", "/all.ndjson"),
        ("/l/{host}/{team}-{read:%Y}.ndjson", "/l/edge-1/x-1970.ndjson"),
        ("/l/{tags}.ndjson", None),
    ],
)
def test_an_example_stands_in_for_what_is_not_known(template: str, example: str | None) -> None:
    assert PathTemplate(template).example({"host": "edge-1", "tags": ["a"]}) == example


@pytest.mark.parametrize(
    ("template", "root", "path"),
    [
        ("/var/log/all.ndjson", "/var/log", ("all.ndjson",)),
        ("/all.ndjson", "/", ("all.ndjson",)),
        ("/var/log/{host}/{app}.ndjson", "/var/log", ("edge-1", "web.ndjson")),
        ("/var/log/x-{host}.ndjson", "/var/log", ("x-edge-1.ndjson",)),
        ("/var/../tmp/{host}", "/tmp", ("edge-1",)),
        ("/var//log//{host}//x", "/var/log", ("edge-1", "x")),
        ("/l/{read:%Y/%m-%d}/{host}.ndjson", "/l", ("2023", "11-14", "edge-1.ndjson")),
        ("/l/{{{host}}}", "/l", ("{edge-1}",)),
        ("/l/{n}-{yes}-{half}", "/l", ("7-true-0.5",)),
    ],
)
def test_a_template_renders_labels_and_time_below_its_root(template: str, root: str, path: tuple[str, ...]) -> None:
    labels = {"host": "edge-1", "app": "web", "n": 7, "yes": True, "half": 0.5}
    compiled = PathTemplate(template)
    assert (compiled.root, compiled.render(labels, NOON)) == (root, path)


def test_a_relative_template_stands_below_the_working_directory() -> None:
    assert PathTemplate("{host}.ndjson").root == os.getcwd()
    assert PathTemplate("logs/x.ndjson").root == os.path.join(os.getcwd(), "logs")


@pytest.mark.parametrize(
    ("template", "message"),
    [
        ("", "does not name a file"),
        ("/var/log/", "does not name a file"),
        ("/var/\0log", "does not name a file"),
        ("/var/..", "may not follow"),
        ("/{host}/../x", "may not follow"),
        ("/{host}/./x", "may not follow"),
        ("/{read}", "needs a form"),
        ("/{read:today}", "needs a form"),
        ("/{read:%Y%}", "is not one of"),
        ("/{read:%c}", "is not one of"),
        ("/{host:%Y}", "neither a label"),
        ("/{}", "neither a label"),
        ("/{host!r}", "no meaning"),
        ("/{host", "twice"),
    ],
)
def test_a_template_that_cannot_be_used_says_why(template: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PathTemplate(template)


@pytest.mark.parametrize(
    ("labels", "read_at", "message"),
    [
        ({}, NOON, "no label 'host'"),
        ({"host": None}, NOON, "no label 'host'"),
        ({"host": ["a"]}, NOON, "no scalar"),
        ({"host": "h"}, 2**62, "is not a time"),
        ({"host": "h"}, -(2**62), "is not a time"),
    ],
)
def test_labels_that_give_no_path_are_told(labels: dict[str, Any], read_at: int, message: str) -> None:
    with pytest.raises(CannotRender, match=message):
        PathTemplate("/l/{host}-{read:%Y}").render(labels, read_at)


def test_a_name_or_path_that_is_too_long_is_told() -> None:
    with pytest.raises(CannotRender, match="at most 240"):
        PathTemplate("/l/{a}{b}{c}").render(dict.fromkeys("abc", "x" * 110), NOON)
    with pytest.raises(CannotRender, match="at most 4000"):
        PathTemplate("/l/" + "{a}/" * 50 + "x").render({"a": "x" * 110}, NOON)


@pytest.mark.parametrize(
    "template", ["/root/{x}", "/root/{x}.ndjson", "/root/.{x}", "/root/{x}/{x}/f", "/root/a{x}/{read:%Y}.log"]
)
@given(value=NASTY)
def test_no_value_leaves_the_root(template: str, value: str) -> None:
    path = PathTemplate(template).render({"x": value}, NOON)
    assert len(path) == template.count("/") - 1
    for name in path:
        encoded = os.fsencode(name)
        assert name not in {"", ".", ".."}
        assert "/" not in name
        assert name.isprintable()
        assert len(encoded) <= 240
    whole = "/".join(("/root", *path))
    assert os.path.normpath(whole) == whole


@given(one=NASTY, other=NASTY)
def test_different_values_give_different_names(one: str, other: str) -> None:
    assert (safe_name(one) == safe_name(other)) == (one == other)


@given(value=NASTY, number=st.integers(2, 999))
def test_no_value_renders_to_the_successor_of_another(value: str, number: int) -> None:
    for template in ("/root/{x}", "/root/{x}.ndjson"):
        path = PathTemplate(template).render({"x": value}, NOON)
        later = successor(path, number)
        assert later != path
        assert "%-" in later[-1]
        assert "%-" not in path[-1]


def test_ordinary_names_stay_as_they_are() -> None:
    for name in ("edge-1", "app.web", "Überwachung 7", "a_b~c"):
        assert safe_name(name) == name
