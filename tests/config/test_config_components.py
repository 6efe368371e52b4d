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


def test_a_misspelt_type_is_said_where_it_stands(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, f"sources:\n  s:\n    typ: file\n{OUT}")
    assert problem.startswith("c.yaml:3: sources.s: found no 'type' (did you mean it by 'typ'?), expected one of: ")


def test_what_a_source_may_have_is_listed_once_each_also_what_all_sources_have(tmp_path: Path) -> None:
    settings = "{typ: x, type: stdin, processors: [], labels: {a: b}}"
    (problem,) = problems_of(tmp_path, f"sources:\n  s: {settings}\n{OUT}")
    known = problem.partition("known: ")[2].split(", ")
    assert {"labels", "processors", "type"} <= set(known)
    assert len(known) == len(set(known))


@pytest.mark.parametrize(
    ("kind", "written", "here"),
    [
        ("file", "paths", "include"),
        ("kafka", "bootstrap_servers", "brokers"),
        ("kafka", "group_id", "group"),
        ("kafka", "auto_offset_reset", "start"),
    ],
)
def test_what_a_setting_of_a_source_is_called_elsewhere_is_said(
    tmp_path: Path, kind: str, written: str, here: str
) -> None:
    problems = problems_of(tmp_path, f"sources:\n  s: {{type: {kind}, {written}: [x]}}\n{OUT}")
    assert f"c.yaml:2: sources.s.{written}: unknown key; it is called '{here}' here" in problems


def test_what_a_setting_of_a_sink_is_called_elsewhere_is_said(tmp_path: Path) -> None:
    text = 'sources: {s: {type: "./parts.py:Probe"}}\nsinks: {kafka: {type: kafka, topic: t, hosts: [a]}}\n'
    problems = problems_of(tmp_path, text)
    assert "c.yaml:2: sinks.kafka.hosts: unknown key; it is called 'brokers' here" in problems


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


@pytest.mark.parametrize("number", [-(2**63), 2**64 - 1])
def test_a_label_may_be_any_number_of_64_bits(tmp_path: Path, number: int) -> None:
    assert load_text(tmp_path, probe("") + f"labels: {{a: {number}}}\n").labels["a"] == number


@pytest.mark.parametrize("number", [-(2**63) - 1, 2**64, 10**50])
def test_a_label_that_no_frame_could_hold_is_refused(tmp_path: Path, number: int) -> None:
    words = f"found '{number}', expected a whole number of at most 64 bits; put it in quotes if it is text"
    assert problems_of(tmp_path, probe(f"labels: {{a: {number}}}") + f"labels: {{b: {number}, c: '{number}'}}\n") == [
        f"c.yaml:4: sources.s.labels.a: {words}",
        f"c.yaml:6: labels.b: {words}",
    ]


@pytest.mark.parametrize("word", ["NaN", ".nan", "Infinity", "-.inf", "1e999"])
def test_what_is_no_finite_number_is_text_as_a_label(tmp_path: Path, word: str) -> None:
    assert load_text(tmp_path, probe("") + f"labels: {{a: {word}}}\n").labels["a"] == word


@pytest.mark.parametrize(
    ("block", "problem"),
    [
        ("backoff: {min: 0}", "backoff: min is 0s, expected more than 0"),
        ("backoff: {min: 5s}", "backoff: max is 4s, expected at least min, which is 5s"),
        ("breaker: {window: 0}", "breaker: window is 0, expected at least 1"),
        ("breaker: {failure_ratio: 0}", "breaker: failure_ratio is 0.0, expected more than 0 and at most 1"),
        ("breaker: {failure_ratio: 1.5}", "breaker: failure_ratio is 1.5, expected more than 0 and at most 1"),
        ("breaker: {open_for: 0}", "breaker: open_for is 0s, expected more than 0"),
    ],
)
def test_a_backoff_or_breaker_that_makes_no_sense_is_refused(tmp_path: Path, block: str, problem: str) -> None:
    text = f'sources: {{s: {{type: "./parts.py:Probe"}}}}\nsinks: {{out: {{type: "./parts.py:Out", {block}}}}}\n'
    assert problems_of(tmp_path, text) == [f"c.yaml:2: sinks.out.{problem}"]


@pytest.mark.parametrize(
    ("kind", "settings", "claim"),
    [
        ("source", "type: stdin", "standard input"),
        ("source", "type: grpc, listen: '127.0.0.1:7420'", "the address 127.0.0.1:7420"),
        ("source", "type: syslog, listen: ['tcp://127.0.0.1:0', 'udp://[::1]:514']", "the address [::1]:514 (UDP)"),
        ("sink", "type: file, path: /tmp/all.ndjson", "the path /tmp/all.ndjson"),
    ],
)
def test_what_one_component_has_no_second_can_have(tmp_path: Path, kind: str, settings: str, claim: str) -> None:
    other = OUT if kind == "source" else 'sources: {s: {type: "./parts.py:Probe"}}\n'
    text = f"{kind}s:\n  one: {{{settings}}}\n  two: {{{settings}}}\n{other}"
    assert problems_of(tmp_path, text) == [
        f"c.yaml:3: {kind}s.two: two cannot share {claim}; {kind}s.one has it, at c.yaml:2"
    ]


def test_a_tcp_port_is_one_whatever_is_spoken_there(tmp_path: Path) -> None:
    """Of all addresses of a source, of another type and of ``admin``; UDP has ports of its own."""
    syslog = "{type: syslog, listen: ['udp://127.0.0.1:7420', 'tcp://127.0.0.1:7421', 'tcp://127.0.0.1:7422']}"
    text = (
        f"sources:\n  a: {syslog}\n  b: {{type: grpc, listen: '127.0.0.1:7420'}}\n"
        "  c: {type: grpc, listen: '127.0.0.1:7422'}\n  d: {type: grpc, listen: '127.0.0.1:7423'}\n"
        f"admin: {{listen: '127.0.0.1:7423'}}\n{OUT}"
    )
    assert problems_of(tmp_path, text) == [
        "c.yaml:4: sources.c: two cannot share the address 127.0.0.1:7422; sources.a has it, at c.yaml:2",
        "c.yaml:5: sources.d: two cannot share the address 127.0.0.1:7423; admin has it, at c.yaml:6",
    ]


def test_port_0_is_another_port_each_time(tmp_path: Path) -> None:
    source = "{type: grpc, listen: '127.0.0.1:0'}"
    assert len(load_text(tmp_path, f"sources: {{one: {source}, two: {source}}}\n{OUT}").sources) == 2


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
