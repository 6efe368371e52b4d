"""From the name of a type to its class."""

import subprocess
import sys
from pathlib import Path

import pytest
from support.configs import PARTS

from shipper import plugins
from shipper.plugins import KINDS, PROCESSOR, SINK, SOURCE, Finder, PluginError
from shipper.sinks.base import Sink
from shipper.sources.base import Source


def refusal(kind: plugins.Kind, name: str, folder: Path = Path()) -> str:
    with pytest.raises(PluginError) as caught:
        Finder().find(kind, name, folder)
    return str(caught.value)


def test_every_standard_name_has_exactly_one_class_of_its_kind() -> None:
    for kind in KINDS:
        for name in plugins.standard_names(kind):
            cls = plugins.standard_class(kind, name)
            assert cls is not None
            assert issubclass(cls, kind.base())


def test_a_module_beside_the_components_that_holds_none_is_no_type() -> None:
    assert {"base", "delivery", "backoff"}.isdisjoint(plugins.standard_names(SINK))
    assert refusal(SINK, "delivery").startswith("there is no sink type 'delivery'")


def test_a_package_is_found_by_its_name_too() -> None:
    found = Finder().find(SINK, "file", Path())
    assert found.__module__.startswith("shipper.sinks.file")


def test_an_unknown_type_is_told_with_the_nearest_name_and_all_known_ones() -> None:
    known = ", ".join(plugins.known_names(SINK))
    assert refusal(SINK, "std-out") == f"there is no sink type 'std-out'; did you mean 'stdout'? known: {known}"
    assert refusal(SINK, "Stdout") == f"there is no sink type 'Stdout'; did you mean 'stdout'? known: {known}"
    assert refusal(SINK, "zzz") == f"there is no sink type 'zzz'; known: {known}"


@pytest.mark.parametrize("name", ["", ".", "..", "base.Sink", "__init__", "../stdout", "a b", "ünïcode", "\0"])
def test_no_odd_name_is_more_than_unknown(name: str) -> None:
    assert refusal(SINK, name).startswith(f"there is no sink type '{name}'")


def test_a_file_beside_the_config_gives_a_class(tmp_path: Path) -> None:
    (tmp_path / "parts.py").write_text(PARTS)
    finder = Finder()
    probe = finder.find(SOURCE, "./parts.py:Probe", tmp_path)
    assert issubclass(probe, Source)
    assert finder.find(SOURCE, "parts.py:Probe", tmp_path) is probe, "a file is run once a load"
    assert issubclass(finder.find(SINK, f"{tmp_path}/parts.py:Out", Path("/")), Sink)


@pytest.mark.parametrize(
    ("source", "name", "message"),
    [
        ("", "./missing.py:X", "there is no file {folder}/missing.py"),
        ("", "./mine.py:Mine", "./mine.py has no class 'Mine'"),
        ("x = 1\n", "./mine.py:x", "'./mine.py:x' is not a Sink: a sink is a class that extends shipper's"),
        ("def f(:\n", "./mine.py:X", "./mine.py cannot be imported: SyntaxError: invalid syntax (mine.py, line 1)"),
        ("1 / 0\n", "./mine.py:X", "./mine.py cannot be imported: ZeroDivisionError: division by zero"),
        ("import nothing_like_it\n", "./mine.py:X", "./mine.py cannot be imported: No module named 'nothing_like_it'"),
        (
            "import aiokafka.errors\n",
            "./mine.py:X",
            "./mine.py needs the package 'aiokafka': pip install 'edge-shipper[kafka]'",
        ),
        (PARTS, "./mine.py:Outt", "./mine.py has no class 'Outt'; did you mean 'Out'? known: Out"),
        (PARTS, "./mine.py:Probe", "'./mine.py:Probe' is not a Sink: a sink is a class that extends shipper's"),
        ("", "no.such.module:X", "'no.such.module:X' cannot be imported: No module named 'no'"),
        ("", ":X", "':X' names no module; expected module:Class or ./file.py:Class"),
        ("", "shipper.sinks.stdout:Stdout", None),
    ],
)
def test_a_class_of_one_s_own_that_cannot_be_had_says_why(
    tmp_path: Path, source: str, name: str, message: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "aiokafka", None)  # what an environment without the extra is like
    (tmp_path / "mine.py").write_text(source)
    found = refusal(SINK, name, tmp_path)
    if message is None:
        assert found.startswith("shipper.sinks.stdout has no class 'Stdout'; did you mean 'StdoutSink'?")
    else:
        assert found == message.format(folder=tmp_path)


def test_a_class_of_an_installed_module_is_named_by_module_and_class() -> None:
    found = Finder().find(SINK, "shipper.sinks.stdout:StdoutSink", Path())
    assert found is plugins.standard_class(SINK, "stdout")


def test_an_installed_package_adds_types_by_entry_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "third_party-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: third-party\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[shipper.sinks]\nsyslog = third_party_parts:Out\nwrong = third_party_parts:Probe\nbroken = nowhere_at_all:X\n"
    )
    (tmp_path / "third_party_parts.py").write_text(PARTS)
    monkeypatch.syspath_prepend(tmp_path)
    assert Finder().find(SINK, "syslog", Path()).__name__ == "Out"
    assert "did you mean 'syslog'?" in refusal(SINK, "sislog")
    assert refusal(SINK, "wrong").startswith("'third_party_parts:Probe' is not a Sink")
    assert refusal(SINK, "broken") == "sink type 'broken' cannot be imported: No module named 'nowhere_at_all'"


def test_a_standard_name_costs_neither_metadata_nor_the_other_components() -> None:
    code = (
        "import sys; from pathlib import Path; from shipper.plugins import SINK, Finder\n"
        "Finder().find(SINK, 'blackhole', Path())\n"
        "print([name for name in ('importlib.metadata', 'grpc', 'difflib') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_processors_are_a_package_of_their_own() -> None:
    assert PROCESSOR.group == "shipper.processors"
    assert (SOURCE.group, SINK.group) == ("shipper.sources", "shipper.sinks")
