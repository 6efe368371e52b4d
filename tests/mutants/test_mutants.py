"""The mistakes fit the code, some of them are made, and who looks whether tests notice them is not deceived."""

from pathlib import Path

import pytest
from mutants.__main__ import main
from mutants.mutant import ROOT, Mutant, Stale, mutants
from mutants.syncs import unsynced
from mutants.workshop import Workshop

QUICK = (
    "a second process is refused",
    "a short write is not taken as a whole one",
    "an older epoch is fenced",
    "a clone is told by its incarnation",
    "a sender sends no more than the window ahead",
    "an Ack gives back the window of what it covers, and no more",
    "nothing is committed behind what was not written (kafka source)",
)
"""Their tests take less than a second."""


@pytest.fixture(name="workshop", scope="module")
def _workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    return Workshop(ROOT, tmp_path_factory.mktemp("mutants").resolve() / "copy")


@pytest.fixture(name="known", scope="module")
def _known() -> dict[str, Mutant]:
    """Every mistake, by its promise."""
    found = list(mutants())
    known = {mutant.promise: mutant for mutant in found}
    assert len(found) == len(known), "two have the same name"
    return known


def table(folder: Path, before: str, after: str, test: str = "tests/wire/test_window.py") -> list[str]:
    """A table with one mistake in the sender's window, as arguments of the command."""
    content = f"""
        [[mutants]]
        file = "shipper/wire/window.py"
        promise = "it is a test"
        before = '{before}'
        after = '{after}'
        tests = ["{test}"]
    """
    (folder / "one.toml").write_text(content)
    return ["--tables", str(folder), "--jobs", "1"]


def test_every_mistake_fits_the_code_and_has_tests(known: dict[str, Mutant]) -> None:
    assert len(known) > 200
    for mutant in known.values():
        assert mutant.tests, mutant.promise
        for test in mutant.tests:
            path, _, name = test.split()[0].partition("::")
            assert f"def {name}(" * bool(name) in (ROOT / path).read_text("utf-8"), test


@pytest.mark.parametrize("promise", QUICK)
def test_a_promise_that_is_broken_is_noticed(workshop: Workshop, known: dict[str, Mutant], promise: str) -> None:
    outcome = workshop.tried(known[promise])
    assert outcome.verdict == "caught", outcome
    assert known[promise].tests[0].split()[0] in outcome.by


def test_after_a_mistake_the_file_is_what_it_was(workshop: Workshop, known: dict[str, Mutant]) -> None:
    workshop.tried(known[QUICK[-2]])
    assert workshop.run(known[QUICK[-2]].tests[0]) is None


def test_a_file_that_cannot_be_imported_proves_nothing(workshop: Workshop) -> None:
    mutant = Mutant("shipper/wire/window.py", "", "import nothing_of_this_name", ("tests/wire/test_window.py",))
    outcome = workshop.tried(mutant)
    assert outcome.verdict == "broken"
    assert "nothing_of_this_name" in outcome.by


def test_tests_that_are_not_collected_prove_nothing(workshop: Workshop) -> None:
    text = (ROOT / "shipper/wire/window.py").read_text().replace("def cut(", "def cut_off(")
    outcome = workshop.tried(Mutant("shipper/wire/window.py", "", text, ("tests/wire/test_window.py",)))
    assert outcome.verdict == "broken"


def test_tests_that_are_not_there_prove_nothing(workshop: Workshop) -> None:
    found = workshop.run("tests/wire/test_window.py -k nothing_of_this_name")
    assert found is not None
    assert found.verdict == "broken"


def test_a_mistake_that_nobody_notices_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(table(tmp_path, "MESSAGE_BYTES: Final = 1024 * 1024", "MESSAGE_BYTES: Final = 1024 * 1025")) == 1
    assert "| it is a test | **survived**" in capsys.readouterr().out


def test_a_mistake_that_is_noticed_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(table(tmp_path, "messages[0][0] <= before", "messages[0][0] < before")) == 0
    out = capsys.readouterr().out
    assert "| 1 | shipper/wire/window.py | it is a test | `tests/wire/test_window.py::" in out


def test_tests_that_fail_without_a_mistake_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    failing = tmp_path / "test_failing.py"
    failing.write_text("def test_what_fails_anyhow():\n    raise RuntimeError\n")
    assert main(table(tmp_path, "size < 0", "size < 1", str(failing))) == 1
    assert "**broken** without the mistake, too, fails" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("what the file does not hold", "", "holds 0 times, and not once"),
        ("self", "this", "and not once"),
        ("size < 0", "size <", "does not compile"),
        ("size < 0", "size <  0", "does the same"),
    ],
)
def test_a_mistake_that_is_none_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], before: str, after: str, why: str
) -> None:
    arguments = table(tmp_path, before, after)
    with pytest.raises(Stale, match=why):
        list(mutants(tables=tmp_path))
    assert main(arguments) == 1
    assert why in capsys.readouterr().err


def test_nothing_to_do_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*table(tmp_path, "size < 0", "size < 1"), "--only", "nothing of this name"]) == 1
    assert "no mutant has" in capsys.readouterr().err


def test_each_sync_is_left_out_once() -> None:
    source = "def save(file, folder):\n    file.write(b'x')\n    file.sync(\n    )\n    folder.sync_folder('a')\n"
    found = list(unsynced(source))
    assert [promise for promise, _ in found] == [
        "`save` calls `file.sync()` (line 3)",
        "`save` calls `folder.sync_folder('a')` (line 5)",
    ]
    assert found[0][1] == "def save(file, folder):\n    file.write(b'x')\n    pass\n    folder.sync_folder('a')\n"
