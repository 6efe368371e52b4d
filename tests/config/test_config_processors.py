"""Processors in a config: how they are written, named, checked."""

from pathlib import Path
from typing import Any

import pytest
from support.configs import OUT, load_text, problems_of
from support.parts_processors import PROCESSORS

from shipper.config import Config

COUNT = "./procs.py:Count"


@pytest.fixture(autouse=True)
def _processors(tmp_path: Path) -> None:
    (tmp_path / "procs.py").write_text(PROCESSORS)


def config_of(folder: Path, processors: str, own: str = "") -> Config:
    return load_text(folder, text_of(processors, own))


def text_of(processors: str, own: str = "") -> str:
    """The items of the shared processors start at line 6."""
    head = f'sources:\n  s:\n    type: "./parts.py:Probe"\n    processors: [{own}]\nprocessors:\n'
    return head + "".join(f"  {line}\n" for line in processors.splitlines()) + OUT


def test_a_processor_without_settings_is_just_its_name(tmp_path: Path) -> None:
    config = config_of(tmp_path, f'- "{COUNT}"\n- "{COUNT}": {{}}\n- "{COUNT}":\n- "{COUNT}":\n    every: 3\n')
    assert [spec.processor.every for spec in config.processors] == [1, 1, 1, 3]
    assert {spec.type for spec in config.processors} == {COUNT}


def test_names_are_unique_in_the_config_in_the_order_in_which_records_meet_them(tmp_path: Path) -> None:
    config = config_of(tmp_path, f'- "{COUNT}"\n- "{COUNT}"\n', own=f'"{COUNT}"')
    own: list[Any] = config.sources["s"].processors
    assert [spec.name for spec in [*own, *config.processors]] == ["Count", "Count_2", "Count_3"]


def test_a_processor_knows_where_it_was_defined(tmp_path: Path) -> None:
    config = config_of(tmp_path, f'- "{COUNT}"\n\n- "{COUNT}": {{every: 2}}\n')
    assert [spec.place for spec in config.processors] == [f"{tmp_path}/c.yaml:6", f"{tmp_path}/c.yaml:8"]


def test_what_setup_opened_for_the_check_is_given_back(tmp_path: Path) -> None:
    (spec,) = config_of(tmp_path, f'- "{COUNT}"\n').processors
    assert spec.processor.open is False


def test_a_shared_processor_can_be_had_once_a_source(tmp_path: Path) -> None:
    (spec,) = config_of(tmp_path, f'- "{COUNT}": {{every: 5, where: "a == 1"}}\n').processors
    other = spec.fresh()
    assert other.processor is not spec.processor
    assert other.processor == spec.processor
    assert (other.name, other.place, other.processor.every) == ("Count", spec.place, 5)


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        (f'- "{COUNT}": {{every: 0}}', "6: processors[0].'./procs.py:Count': every must be at least 1"),
        (f'- "{COUNT}": 3', ("6: processors[0].'./procs.py:Count': found '3', expected the settings of "
         "'./procs.py:Count' by name")),
        ('- "./procs.py:Needy"',
         "6: processors[0].'./procs.py:Needy': found no 'pattern', expected a regular expression"),
        (f'- "{COUNT}":\n  every: 3', ("6: processors[0]: found keys with values, expected a processor: '- name', or "
         "'- name: settings'; indent the settings of './procs.py:Count' further than its name")),
        (f'- {{"{COUNT}": {{}}, drop: {{}}}}', ("6: processors[0]: found keys with values, expected a processor: "
         "'- name', or '- name: settings'; give each its own '- '")),
        ("- remove: [a, http.x]", ("6: processors[0].remove: found a list, expected the settings of 'remove' by name; "
         "write remove: {fields: [a, \"http.x\"]}")),
        ("- remove: a", ("6: processors[0].remove: found 'a', expected the settings of 'remove' by name; "
         "write remove: {fields: [a]}")),
        ("- drop: level == 'debug'", ("6: processors[0].drop: found \"level == 'debug'\", expected the settings of "
         "'drop' by name; write drop: {where: \"level == 'debug'\"}")),
        ("- parse_json: [a]",
         "6: processors[0].parse_json: found a list, expected the settings of 'parse_json' by name"),
        ("- rename: {a: b, overwrite: true}",
         "6: processors[0].rename: found 'a' among the settings; write {fields: {a: b}}"),
        ("- add_fields: {team: x, tier: 1}",
         "6: processors[0].add_fields: found 'team', 'tier' among the settings; write {fields: {team: x, tier: 1}}"),
        ("- parse_grok: {pattern: x, match: y}",
         "6: processors[0].parse_grok.match: unknown key; it is called 'pattern' here"),
        ("- [x]", "6: processors[0]: found a list, expected a processor: '- name', or '- name: settings'"),
        ("- ", "6: processors[0]: found nothing, expected a processor: '- name', or '- name: settings'"),
        ("- {}", "6: processors[0]: found keys with values, expected a processor: '- name', or '- name: settings'"),
        ("drop: {}", "6: processors: found keys with values, expected a list of processors, each '- name: settings'"),
    ],
)  # fmt: skip
def test_a_wrong_item_says_how_it_is_written(tmp_path: Path, item: str, problem: str) -> None:
    assert problems_of(tmp_path, text_of(item)) == [f"c.yaml:{problem}"]


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("pass", "Own must define process or process_batch"),
        ("def process_lines(self, lines): return None", "Own must define process or process_batch"),
        ("async def process(self, record): return record",
         "Own.process is 'async def', expected 'def': processors are synchronous"),
        ("async def process_batch(self, records): return records",
         "Own.process_batch is 'async def', expected 'def': processors are synchronous"),
        ("def constants(self): return {'a': 1}", ""),
        ("def process_batch(self, records): return records", ""),
    ],
)  # fmt: skip
def test_a_processor_that_the_engine_cannot_call_is_refused(tmp_path: Path, body: str, problem: str) -> None:
    (tmp_path / "own.py").write_text(f"from shipper import Processor\n\nclass Own(Processor):\n    {body}\n")
    found = problems_of(tmp_path, text_of('- "./own.py:Own"'))
    assert found == ([f"c.yaml:6: processors[0].'./own.py:Own': {problem}"] if problem else [])


def test_a_condition_is_checked_at_its_own_line(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, text_of(f'- "{COUNT}":\n    every: 2\n    where: level = 3\n'))
    assert problem.startswith("c.yaml:8: processors[0].'./procs.py:Count'.where: ")


def test_a_relative_path_of_a_processor_starts_at_the_config_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "teams.csv").write_text("service,team\nshop,payments\n")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    (spec,) = config_of(tmp_path, "- lookup: {file: tables/teams.csv, field: service}").processors
    assert spec.processor.file == tmp_path / "tables" / "teams.csv"
    (spec,) = config_of(Path("../elsewhere/.."), "- lookup: {file: ./tables/teams.csv, field: service}").processors
    assert spec.processor.file == tmp_path / "tables" / "teams.csv"
    (spec,) = config_of(tmp_path, f"- lookup: {{file: {tmp_path}/tables/teams.csv, field: service}}").processors
    assert spec.processor.file == tmp_path / "tables" / "teams.csv"


def test_a_misspelled_block_of_settings_is_not_taken_for_what_it_holds(tmp_path: Path) -> None:
    unknown, missing = problems_of(tmp_path, text_of("- rename: {feelds: {a: b}}"))
    assert unknown.startswith("c.yaml:6: processors[0].rename.feelds: unknown key; did you mean 'fields'?")
    assert missing == "c.yaml:6: processors[0].rename: found no 'fields', expected names with values, each text"


def test_an_unknown_processor_shows_the_known_ones(tmp_path: Path) -> None:
    (problem,) = problems_of(tmp_path, text_of("- parse_jsn: {}"))
    assert problem.startswith("c.yaml:6: processors[0].parse_jsn: there is no processor type 'parse_jsn'")


def test_the_lists_of_several_files_follow_each_other(tmp_path: Path) -> None:
    from shipper.config import load

    first = tmp_path / "a.yaml"
    load_text(tmp_path, text_of(f'- "{COUNT}": {{every: 1}}\n')).processors.clear()
    first.write_text(f'processors: [{{"{COUNT}": {{every: 7}}}}]\n')
    config = load([first, tmp_path / "c.yaml"])
    assert [spec.processor.every for spec in config.processors] == [7, 1]
