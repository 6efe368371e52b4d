"""Sources, sinks and labels: names, types, warnings, and the condition of a sink."""

from pathlib import Path

import pytest
from support.configs import OUT, load_text, probe, problems_of


def test_a_component_is_an_instance_of_the_class_that_its_type_names(tmp_path: Path) -> None:
    config = load_text(tmp_path, probe("text: hello"))
    assert type(config.sources["s"]).__name__ == "Probe"
    assert type(config.sinks["out"]).__name__ == "Out"


@pytest.mark.parametrize("name", ["a", "A-1_b.c", "7", "x" * 64])
def test_the_name_of_a_source_is_a_word(tmp_path: Path, name: str) -> None:
    text = f'sources: {{"{name}": {{type: "./parts.py:Probe"}}}}\n{OUT}'
    assert list(load_text(tmp_path, text).sources) == [name]


@pytest.mark.parametrize("name", ["", "..", "a/b", "-a", "ä", "a b", "x" * 65, "a\\n"])
def test_a_name_that_could_leave_its_directory_or_a_metric_s_label_is_refused(tmp_path: Path, name: str) -> None:
    text = f'sources: {{s: {{type: "./parts.py:Probe"}}}}\nsinks: {{"{name}": {{type: "./parts.py:Out"}}}}\n'
    (problem,) = problems_of(tmp_path, text)
    assert problem.startswith("c.yaml:2: sinks.")
    assert problem.endswith("a name is 1 to 64 letters, digits, '_', '-' and '.', the first a letter or digit")


def test_labels_are_texts_numbers_or_switches(tmp_path: Path) -> None:
    config = load_text(tmp_path, probe("labels: {rack: 7, env: no, on: true, ratio: 1.5, id: '7'}"))
    assert config.sources["s"].labels == {"rack": 7, "env": "no", "on": True, "ratio": 1.5, "id": "7"}
    words = "text, a number, true or false"
    assert problems_of(tmp_path, probe("") + "labels: {a: [1], b: {c: d}, c: , d: null}\n") == [
        f"c.yaml:5: labels.a: found a list, expected {words}",
        f"c.yaml:5: labels.b: found keys with values, expected {words}",
        f"c.yaml:5: labels.c: found nothing, expected {words}",
        f"c.yaml:5: labels.d: found 'null', expected {words}",
    ]


@pytest.mark.parametrize(
    ("listen", "warned"),
    [
        ("0.0.0.0:7420", True),
        ("'[::]:7420'", True),
        ("':7420'", True),
        ("127.0.0.1:7420", False),
        ("'[::1]:7420'", False),
        ("collector:7420", False),
    ],
)
def test_listening_on_every_interface_without_tls_or_tokens_is_a_warning(
    tmp_path: Path, listen: str, warned: bool
) -> None:
    warnings = load_text(tmp_path, probe(f"text: x\nlisten: {listen}")).warnings
    text = "sources.s.listen: listens on every interface without TLS or tokens: whoever reaches the port can send"
    assert warnings == ([f"{tmp_path}/c.yaml:5: {text}"] if warned else [])


def test_an_admin_port_on_every_interface_is_a_warning(tmp_path: Path) -> None:
    warnings = load_text(tmp_path, probe("") + "admin: {listen: 0.0.0.0:7421}\n").warnings
    text = "admin.listen: listens on every interface: whoever reaches the port can read"
    assert warnings == [f"{tmp_path}/c.yaml:5: {text}"]


def test_a_sink_s_condition_is_compiled_at_its_line(tmp_path: Path) -> None:
    text = 'sources: {s: {type: "./parts.py:Probe"}}\nsinks:\n  out:\n    type: "./parts.py:Out"\n    where: "%s"\n'
    assert load_text(tmp_path, text % "level == 'error'").sinks["out"].where == "level == 'error'"
    (problem,) = problems_of(tmp_path, text % "level = 'error'")
    assert problem.startswith("c.yaml:5: sinks.out.where: ")


def test_a_condition_that_holds_an_expansion_does_not_show_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "hunter2-s3cr3t-token")
    text = 'sources: {s: {type: "./parts.py:Probe"}}\nsinks: {out: {type: "./parts.py:Out", where: "%s"}}\n'
    for where in ("level == ${SECRET}", "${SECRET} = 3", "'${SECRET}", "level in ${SECRET} + 1"):
        (problem,) = problems_of(tmp_path, text % where)
        assert "hunter" not in problem
        assert "s3cr3t" not in problem


def test_problems_of_a_source_s_own_parts_show_although_its_type_is_unknown(tmp_path: Path) -> None:
    problems = problems_of(tmp_path, f"sources: {{s: {{type: fiel, labels: [x], processors: 3}}}}\n{OUT}")
    assert [problem.split(": ")[1] for problem in problems] == [
        "sources.s.labels",
        "sources.s.processors",
        "sources.s.type",
    ]
