"""``shipper test``: cases that hold, cases that do not, and files of cases that cannot be used."""

from pathlib import Path

import pytest

from shipper.cli import main

CONFIG = """\
labels: {host: edge-1, site: north}
sources:
  app: {type: file, include: [/none/*.log], processors: [parse_json]}
processors:
  - drop: {where: "level == 'debug'"}
  - add_fields: {fields: {team: payments}}
sinks: {out: {type: stdout}}
"""


def run(folder: Path, cases: str, config: str = CONFIG) -> int:
    (folder / "agent.yaml").write_text(config)
    (folder / "agent.test.yaml").write_text(cases)
    return main(["test", str(folder / "agent.yaml")])


def test_cases_that_hold(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = """\
cases:
  - name: debug lines are dropped
    input: '{"level": "debug"}'
    dropped_by: drop
  - name: the others get a team
    source: app
    input: '{"level": "info", "n": 1.0}'
    expect: {level: info, n: 1, team: payments}
  - name: a record from another shipper
    input: {message: '{"level": "warn"}'}
    labels: {file: /var/log/a.log}
    expect: {level: warn, team: payments, file: /var/log/a.log, site: north}
  - input: ['{"level": "debug"}', '{"a": null}', '{"b": [true]}']
    expect: [{a: null, team: payments}, {b: [true], team: payments}]
  - input: '{"level": "debug"}'
    expect: []
"""
    assert run(tmp_path, cases) == 0
    assert capsys.readouterr().out == (
        "ok      debug lines are dropped\nok      the others get a team\nok      a record from another shipper\n"
        "ok      case of line 13\nok      case of line 15\n5 cases, all hold\n"
    )


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("input: '{\"n\": 1}', expect: {n: true, team: payments}", "n: expected true, got 1"),
        ("input: '{\"n\": 1}', expect: {n: '1', team: payments}", 'n: expected "1", got 1'),
        ("input: '{\"n\": 1}', expect: {n: 1}", 'team: expected nothing, got "payments"'),
        ("input: '{\"n\": 1}', expect: {n: 1, team: payments, x: 0}", "x: expected 0, got nothing"),
        ("input: '{\"n\": 1}', expect: {n: 1, team: payments, site: south}", 'site: expected "south", got "north"'),
        ('input: \'{"n": {"a": [1]}}\', expect: {n: {a: [2]}, team: payments}', "n.a[0]: expected 2, got 1"),
        ("input: '{\"n\": 1}', expect: []", 'got one more: {"n":1}'),
        ("input: '{\"n\": 1}', dropped_by: drop", "expected that drop drops it"),
        (
            'input: \'{"level": "debug"}\', expect: {level: debug}',
            "dropped by drop: level == 'debug': level is \"debug\"",
        ),
        ("input: x, expect: {message: x}", "parse_json failed: JSON is malformed"),
    ],
)
def test_a_case_that_does_not_hold_says_what_differs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], case: str, said: str
) -> None:
    assert run(tmp_path, f"cases:\n  - {{name: it, {case}}}\n") == 1
    out = capsys.readouterr().out
    assert out.startswith(f"FAILED  it ({tmp_path}/agent.test.yaml:2)\n")
    assert f"        {said}" in out
    assert out.endswith("1 case, 1 failed\n")


def test_no_case_knows_of_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = CONFIG.replace("  - drop:", "  - dedupe: {fields: [n]}\n  - drop:")
    case = "  - {input: '{\"n\": 1}', expect: {n: 1, team: payments}}\n"
    assert run(tmp_path, f"cases:\n{case}{case}", config) == 0
    both = "  - {input: ['{\"n\": 1}', '{\"n\": 1}'], expect: [{n: 1, team: payments}]}\n"
    assert run(tmp_path, f"cases:\n{both}", config) == 0
    capsys.readouterr()


@pytest.mark.parametrize(
    ("cases", "said"),
    [
        ("cases:\n- {input: x, expct: {}}\n", "2: cases[0].expct: unknown key; did you mean 'expect'?"),
        ("cases:\n- {input: x}\n", "2: cases[0]: found neither or both of 'expect' and 'dropped_by'"),
        ("cases:\n- {expect: {}}\n", "2: cases[0]: found no 'input'"),
        (
            "cases:\n- {input: x, dropped_by: drp}\n",
            "2: cases[0].dropped_by: there is no processor 'drp' for source app; ",
        ),
        ("cases:\n- {input: x, dropped_by: drop, source: ap}\n", "2: cases[0].source: there is no source 'ap'; "),
        ("cases:\n- 5\n", "2: cases[0]: expected a mapping with input"),
        ("case: []\n", "1: case: unknown key; did you mean 'cases'?"),
        ("cases: {}\n", "1: cases: expected a list of cases"),
        ("cases: [\n", "2: is not YAML: "),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], cases: str, said: str
) -> None:
    assert run(tmp_path, cases) == 2
    assert said in capsys.readouterr().err


def test_a_config_without_cases_says_where_to_write_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "agent.yaml").write_text(CONFIG)
    assert main(["test", str(tmp_path / "agent.yaml")]) == 2
    assert f"there are no cases: write {tmp_path}/agent.test.yaml" in capsys.readouterr().err


def test_cases_in_a_directory_of_configs_are_no_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "conf.d"
    folder.mkdir()
    case = "cases: [{input: '{\"a\": 1}', expect: {a: 1, team: payments}}]\n"
    run(folder, case)
    assert main(["check", str(folder)]) == 0
    (tmp_path / "conf.test.yaml").write_text(case)
    assert main(["test", str(folder)]) == 0
    assert capsys.readouterr().out.endswith("1 case, all hold\n")


def test_what_differs_in_the_depth_is_named_by_its_path(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = '{"a": {"b": {"c": [1, 2, {"e": 1, "x y": 1}]}}, "t": ["p", "q", "r"]}'
    wanted = "a: {b: {c: [1, 2, {e: 2, 'x y': 2}]}}, t: [p, r, s], team: payments"
    assert run(tmp_path, f"cases:\n- {{input: '{given}', expect: {{{wanted}}}}}\n") == 1
    rows = [row.strip() for row in capsys.readouterr().out.splitlines()[1:-1]]
    assert rows == [
        "a.b.c[2].e: expected 2, got 1",
        'a.b.c[2]["x y"]: expected 2, got 1',
        't[1]: expected "r", got "q"',
        't[2]: expected "s", got "r"',
    ]


def test_a_long_text_is_shown_where_it_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "abcdefghij" * 20
    case = f"{{input: '{{\"m\": \"{text}X, and more\"}}', expect: {{m: '{text}Y, and more', team: payments}}}}"
    assert run(tmp_path, f"cases:\n- {case}\n") == 1
    said = 'm: expected ... abcdefghijabcdefghijY, and more", got ... abcdefghijabcdefghijX, and more"\n'
    assert said in capsys.readouterr().out


def test_one_missing_record_does_not_shift_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ", ".join(f'\'{{"n": {n}, "k": {n}}}\'' for n in (1, 3, 4, 5))
    wanted = ", ".join(f"{{n: {n}, k: {n % 4 or 5}, team: payments}}" for n in (1, 2, 3, 4))
    assert run(tmp_path, f"cases:\n- {{input: [{given}], expect: [{wanted}]}}\n") == 1
    rows = [row.strip() for row in capsys.readouterr().out.splitlines()[1:-1]]
    assert rows == [
        'record 2: expected {"n":2,"k":2,"team":"payments"}, and nothing like it came',
        "record 4: k: expected 5, got 4",
        'got one more: {"n":5,"k":5}',
    ]


PEEKS = """\
from shipper import Processor


class Peeks(Processor):
    'Looks at what it does not name.'

    @property
    def reads(self):
        return frozenset({"status"})

    @property
    def writes(self):
        return frozenset({"class"})

    def process(self, record):
        record["class"] = f"{record.get('status')}/{record.get('other')}"
        return record
"""


@pytest.mark.parametrize(
    ("wanted", "got", "how"),
    [
        ("1/2", "1/None", "it does not hold when run by its plan, as 'shipper run' does: "),
        ("1/None", "1/2", "it holds only when run by its plan: "),
    ],
)
def test_a_case_is_run_as_shipper_run_does_it_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], wanted: str, got: str, how: str
) -> None:
    (tmp_path / "mine.py").write_text(PEEKS)
    config = CONFIG.replace("processors: [parse_json]", "processors: [parse_json, './mine.py:Peeks']")
    given = '{"status": 1, "other": 2}'
    expected = f"{{status: 1, other: 2, class: {wanted}, team: payments}}"
    assert run(tmp_path, f"cases:\n- {{input: '{given}', expect: {expected}}}\n", config) == 1
    first, second = capsys.readouterr().out.splitlines()[1:-1]
    assert how in first
    assert first.endswith("/agent.yaml:3) reads other, which its `reads` does not name")
    assert "Peeks (" in first
    assert second.strip() == f'class: expected "{wanted}", got "{got}"'
