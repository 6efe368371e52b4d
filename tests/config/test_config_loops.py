"""A source that reads what shipper itself writes is warned of."""

from pathlib import Path

import pytest
from support.configs import load_text

LOOP = "each record would come back and be written again, without end; exclude that, or write elsewhere"


@pytest.mark.parametrize(
    ("include", "path", "written"),
    [
        ("logs/*", "logs/out.ndjson", "logs/out.ndjson"),
        ("logs/**", "logs/{host}/{source}-{read:%Y}.ndjson", "logs/edge-1/app-1970.ndjson"),
        ("logs/blue/*.log", "logs/{team}/x.log", "logs/blue/x.log"),
        ("logs/*/*.log", "logs/{whatever}/x.log", "logs/x/x.log"),
    ],
)
def test_a_sink_that_writes_where_a_source_reads_is_warned_of(
    tmp_path: Path, include: str, path: str, written: str
) -> None:
    text = (
        f"data_dir: {tmp_path}/data\nlabels: {{host: edge-1}}\nsources:\n"
        f"  app: {{type: file, include: ['{tmp_path}/{include}'], labels: {{team: blue}}}}\n"
        f"sinks: {{out: {{type: file, path: '{tmp_path}/{path}'}}}}\n"
    )
    (warning,) = load_text(tmp_path, text).warnings
    assert warning == f"{tmp_path}/c.yaml:4: sources.app: reads what sinks.out writes, {tmp_path}/{written}: {LOOP}"


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ("include: [logs/*.log]", "logs/out.ndjson"),
        ("include: [logs/*], exclude: ['*.ndjson']", "logs/out.ndjson"),
        ("include: [logs/green/*]", "logs/{team}/out.ndjson"),
    ],
)
def test_a_sink_that_writes_elsewhere_is_none_of_it(tmp_path: Path, settings: str, path: str) -> None:
    text = (
        f"data_dir: {tmp_path}/data\nsources: {{app: {{type: file, labels: {{team: blue}}, {settings}}}}}\n"
        f"sinks: {{out: {{type: file, path: '{path}'}}}}\n"
    )
    assert load_text(tmp_path, text).warnings == []


def test_a_source_that_reads_the_data_directory_is_warned_of(tmp_path: Path) -> None:
    text = (
        f"data_dir: {tmp_path}/all/data\nsources: {{app: {{type: file, include: ['{tmp_path}/all/**']}}}}\n"
        "sinks: {out: {type: blackhole}}\n"
    )
    warning = f"{tmp_path}/c.yaml:2: sources.app: reads shipper's own data_dir, {tmp_path}/all/data: exclude that"
    assert load_text(tmp_path, text).warnings == [warning]


def test_a_tilde_is_the_home_directory_in_every_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    text = (
        "data_dir: ~/data\nsources: {app: {type: file, include: [~/logs/*], exclude: [~/logs/no.log]}}\n"
        "sinks: {out: {type: file, path: ~/out.ndjson}}\n"
    )
    config = load_text(tmp_path, text)
    assert config.data_dir == tmp_path / "data"
    assert config.sources["app"].reads(f"{tmp_path}/logs/a.log")
    assert not config.sources["app"].reads(f"{tmp_path}/logs/no.log")
    assert config.sinks["out"].writes({}) == f"{tmp_path}/out.ndjson"
