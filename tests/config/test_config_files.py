"""Several files, directories, and where the data directory is."""

import socket
from pathlib import Path

import pytest
from support.configs import OUT, load_text, probe, problems_of, write

from shipper.config import load
from shipper.errors import ConfigError

A_SOURCE = 'sources: {s: {type: "./parts.py:Probe"}}\n'


def test_a_directory_s_files_are_merged_by_name(tmp_path: Path) -> None:
    folder = tmp_path / "conf.d"
    folder.mkdir()
    write(folder, 'sources:\n  b: {type: "./parts.py:Probe"}\nlabels: {b: 2}\nspool: {max_bytes: 2GiB}\n', "20.yml")
    write(folder, A_SOURCE + OUT + "labels: {a: 1}\n", "10.yaml")
    write(folder, "spol: not read", "ignored.txt")
    write(folder, "spol: not read", ".hidden.yaml")
    config = load([folder])
    assert config.name == "conf"
    assert list(config.sources) == ["s", "b"]
    assert list(config.labels.items())[:2] == [("a", 1), ("b", 2)]
    assert config.spool.max_bytes == 2**31


def test_blocks_of_settings_are_joined_setting_by_setting(tmp_path: Path) -> None:
    write(tmp_path, A_SOURCE + OUT + "batch: {max_bytes: 64KiB}\nspool:\n", "a.yaml")
    write(tmp_path, "batch: {max_delay: 1s}\nspool: {max_bytes: 1GiB}\n", "b.yaml")
    config = load([tmp_path / "a.yaml", str(tmp_path / "b.yaml")])
    assert (config.name, config.batch.max_bytes, config.batch.max_delay) == ("a", 65536, 1.0)


def test_two_definitions_of_one_thing_are_an_error_that_names_both_places(tmp_path: Path) -> None:
    write(tmp_path, A_SOURCE + OUT + "data_dir: /a\nlabels: {env: a}\nbatch: {max_delay: 1s}\n", "a.yaml")
    write(
        tmp_path,
        "labels:\n  env: b\nbatch:\n  max_delay: 2s\nsources:\n  s:\n    type: x\ndata_dir: /b\nsinks: [x]\n",
        "b.yaml",
    )
    with pytest.raises(ConfigError) as caught:
        load([tmp_path / "a.yaml", tmp_path / "b.yaml"])
    assert [problem.replace(f"{tmp_path}/", "") for problem in caught.value.problems] == [
        "b.yaml:2: labels.env: is defined twice; first at a.yaml:4",
        "b.yaml:4: batch.max_delay: is defined twice; first at a.yaml:5",
        "b.yaml:6: sources.s: is defined twice; first at a.yaml:1",
        "b.yaml:8: data_dir: is defined twice; first at a.yaml:3",
        "b.yaml:9: sinks: is defined twice; first at a.yaml:2",
    ]


def test_a_key_that_is_there_twice_does_not_hide_other_problems(tmp_path: Path) -> None:
    assert problems_of(tmp_path, "spool: {max_bytes: 1GiB}\nspol: 1\nspool: {max_bytes: x}\n" + A_SOURCE + OUT) == [
        (
            "c.yaml:2: spol: unknown key; did you mean 'spool'? known: admin, batch, data_dir, dead_letters, labels, "
            "processors, shutdown_timeout, sinks, sources, spool, workers"
        ),
        "c.yaml:3: the key 'spool' is here twice; the first one stands in line 1",
    ]


def test_problems_come_in_the_order_of_the_files(tmp_path: Path) -> None:
    write(tmp_path, "spol: 1\n" + A_SOURCE, "z.yaml")
    write(tmp_path, "bach: 1\n" + OUT, "a.yaml")
    with pytest.raises(ConfigError) as caught:
        load([tmp_path / "z.yaml", tmp_path / "a.yaml"])
    assert [Path(problem.partition(":")[0]).name for problem in caught.value.problems] == ["z.yaml", "a.yaml"]


def test_a_component_s_file_stands_beside_the_config_file_that_names_it(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    write(tmp_path / "one", A_SOURCE)
    write(tmp_path / "two", OUT)
    assert list(load([tmp_path / "one/c.yaml", tmp_path / "two/c.yaml"]).sinks) == ["out"]


def test_without_sources_or_sinks_there_is_nothing_to_do(tmp_path: Path) -> None:
    assert problems_of(tmp_path, "") == [
        "c.yaml:1: sinks: found none, expected at least one sink",
        "c.yaml:1: sources: found none, expected at least one source",
    ]
    assert problems_of(tmp_path, "sources:\nsinks: {}\n") == [
        "c.yaml:1: sources: found none, expected at least one source",
        "c.yaml:2: sinks: found none, expected at least one sink",
    ]


def test_the_data_directory_is_what_the_config_says_made_absolute(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert load_text(tmp_path, A_SOURCE + OUT + "data_dir: data/../here\n").data_dir == tmp_path / "here"


def test_the_data_directory_of_systemd_comes_before_the_one_at_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    path = write(tmp_path, A_SOURCE + OUT, "agent.yaml")
    assert load([path]).data_dir == Path("/home/somebody/.local/state/shipper/agent")
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/shipper:/var/lib/other")
    assert load([path]).data_dir == Path("/var/lib/shipper")


def test_the_host_label_is_always_there(tmp_path: Path) -> None:
    assert load_text(tmp_path, A_SOURCE + OUT).labels == {"host": socket.gethostname()}
    assert load_text(tmp_path, A_SOURCE + OUT + "labels: {host: web-1}\n").labels == {"host": "web-1"}


def test_the_defaults_are_those_of_the_structs(tmp_path: Path) -> None:
    config = load_text(tmp_path, A_SOURCE + OUT)
    assert (config.spool.max_bytes, config.batch.max_bytes, config.batch.max_delay) == (2**30, 2**18, 0.1)
    assert config.spool.min_free == "5%"
    assert (config.dead_letters.max_bytes, config.admin, config.shutdown_timeout) == (2**28, None, 30.0)
    assert (config.warnings, config.processors) == ([], [])


def test_settings_that_are_possible_by_type_but_make_no_sense_are_refused(tmp_path: Path) -> None:
    blocks = "spool: {max_bytes: 1MiB}\nbatch: {max_bytes: 2MiB}\nadmin: {listen: localhost}\n"
    assert problems_of(tmp_path, blocks + probe("")) == [
        "c.yaml:1: spool: max_bytes is 1MiB, expected at least 2MiB",
        "c.yaml:2: batch: max_bytes is 2MiB, expected 4KiB to 1MiB",
        "c.yaml:3: admin: listen is 'localhost', expected host:port, as in 127.0.0.1:7421",
    ]
