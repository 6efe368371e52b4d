"""How rows are run, told and kept."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from faults.__main__ import main
from faults.campaign import run_row, run_rows
from faults.results import Report, Result, markdown, merge
from faults.row import Outcome, Row, Run, all_rows


@pytest.fixture(autouse=True)
def _scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What rows leave is the test's."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def row(
    name: str = "a row",
    *,
    outcome: Outcome | None = None,
    why: str | None = None,
    every: bool = False,
    simulated: bool = False,
    audited: bool = True,
    judged: str = "",
) -> Row:
    """One that has this outcome; without one it fails."""

    def run(run: Run) -> Outcome:
        (run.place / "something").touch()
        if outcome is None:
            raise OSError("the disk is on fire")
        return outcome

    return Row(
        name,
        "Something is done.",
        "once",
        run,
        1,
        2,
        needs=lambda: why,
        every=every,
        simulated=simulated,
        audited=audited,
        judged=judged,
    )


def fine() -> Outcome:
    return Outcome(injected=3, fired=2, written=10, recover=[0.1, 0.2, 0.9])


def test_a_row_whose_faults_fired_and_in_which_nothing_went_wrong_has_passed() -> None:
    result = run_row(row(outcome=fine()), "short", 7)
    assert (result.state, result.why, result.seed, result.form) == ("passed", "", 7, "short")
    assert (result.recover_p50, result.recover_max) == (0.2, 0.9)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"lost": 2}, "2 lost"),
        ({"doubled": 1}, "1 doubled"),
        ({"altered": 1}, "1 altered"),
        ({"misordered": 4}, "4 out of order"),
        ({"ledger": "a.log: 7 bytes are missing"}, "the ledger: a.log: 7 bytes are missing"),
        ({"fired": 0}, "0 of 3 faults fired"),
        ({"written": 0}, "nothing was written"),
    ],
)
def test_a_row_in_which_anything_went_wrong_has_failed_and_says_what_and_how_to_have_it_again(
    wrong: dict[str, object], said: str
) -> None:
    outcome = fine()
    for name, value in wrong.items():
        setattr(outcome, name, value)
    result = run_row(row(outcome=outcome), "long", 7)
    assert result.state == "failed"
    assert result.why.startswith(f"{said}\n")
    assert "-m faults --only 'a row' --long --seed 7" in result.why


def test_a_row_of_every_point_fails_where_one_did_not_fire() -> None:
    assert run_row(row(outcome=fine(), every=True), "short", 7).why.startswith("2 of 3 faults fired")


def test_lines_that_may_come_twice_are_counted_and_are_no_failure() -> None:
    outcome = fine()
    outcome.doubled = 5
    allowed = Row("a row", "Something is done.", "at least once", lambda run: outcome, 1, 2)
    result = run_row(allowed, "short", 7)
    assert (result.state, result.doubled) == ("passed", 5)


@pytest.mark.parametrize(
    ("slow", "said"),
    [
        ({"recover": [0.1, 5.1, 5.2], "drained": [9.0]}, "lines took more than 5 s to arrive again, half of the times"),
        ({"recover": [0.1], "drained": [4.0, 4.9, 9.0]}, "a backlog drained less than 5 times as fast as lines came"),
        ({"recover": [], "drained": [9.0]}, "lines took more than 5 s"),
        ({"recover": [0.1], "drained": []}, "a backlog drained less than 5 times"),
    ],
)
def test_a_row_that_is_slow_has_failed_in_the_long_form_and_not_in_the_short_one(
    slow: dict[str, list[float]], said: str
) -> None:
    outcome = Outcome(injected=3, fired=3, written=10, **slow)  # type: ignore[arg-type]
    judged = Row("a row", "Something is done.", "once", lambda run: outcome, 1, 2, soon=True, drains=True)
    result = run_row(judged, "long", 7)
    assert result.state == "failed"
    assert result.why.startswith(said)
    assert run_row(judged, "short", 7).state == "passed"


def test_a_row_that_is_late_now_and_then_has_passed_and_says_so() -> None:
    outcome = Outcome(injected=3, fired=3, written=10, recover=[0.1, 5.0, 9.0], drained=[4.0, 5.0, 9.0])
    judged = Row("a row", "Something is done.", "once", lambda run: outcome, 1, 2, soon=True, drains=True)
    result = run_row(judged, "long", 7)
    assert (result.state, result.recover_max, result.drained_p50, result.drained_min) == ("passed", 9.0, 5.0, 4.0)
    assert [note.partition(" (")[0] for note in result.notes] == [
        "lines arrived again within 5 s 2 of 3 times",
        "a backlog drained 5.0 times as fast as lines came, 4.0 times at least",
    ]


def test_a_row_that_raises_has_failed_with_its_traceback() -> None:
    result = run_row(row(), "short", 7)
    assert result.state == "failed"
    assert "OSError: the disk is on fire" in result.why


def test_a_row_that_this_machine_cannot_run_has_neither_passed_nor_failed() -> None:
    it = row(outcome=fine(), why="there is no loop device")
    result = run_row(it, "short", 7)
    assert (result.state, result.why, result.injected) == ("not run", "there is no loop device", 0)
    assert "| not run: there is no loop device | |" in markdown(Report([result], []), [it])


def test_what_a_failed_row_left_is_kept_and_what_another_left_is_not() -> None:
    left = [line.split(": ", 1)[1] for line in run_row(row(), "short", 7).why.splitlines() if "what it left" in line]
    assert (Path(left[0]) / "something").exists()
    assert "what it left" not in run_row(row(outcome=fine()), "short", 7).why


def result(name: str, seed: int = 1, **more: Any) -> Result:
    """What became of a row; it has passed in the long form, if ``more`` says nothing else."""
    settled: dict[str, Any] = {"fault": "f", "promise": "once", "state": "passed", "form": "long", "seed": seed}
    return Result(row=name, **settled | more)


def test_a_part_of_the_campaign_replaces_its_own_rows_in_the_report(tmp_path: Path) -> None:
    rows = [row(name) for name in ("a", "b", "c")]
    merge(tmp_path, [result("c"), result("a"), result("gone")], [*rows, row("gone")])
    merged = merge(tmp_path, [result("b", 2), result("c", 2)], rows)
    assert [(each.row, each.seed) for each in merged] == [("a", 1), ("b", 2), ("c", 2)]
    assert "3 passed, 0 failed" in (tmp_path / "campaign.md").read_text()


def test_the_report_begins_with_how_many_rows_had_a_long_run_and_names_those_that_had_none() -> None:
    rows = [row(name) for name in ("a", "b", "c", "d, too", "e")]
    results = [result("a"), result("b", state="failed"), result("c", form="short"), result("e", state="not run")]
    said = markdown(Report(results, []), rows).splitlines()[2]
    assert said.startswith("**2 of all 5 rows (`")
    assert said.endswith("`) have had a long run: 1 passed, 1 failed.** 3 had none yet: c; d, too; e.")
    assert "| passed (short form) |" in markdown(Report(results, []), rows)
    assert markdown(Report(results[:2], []), rows[:2]).splitlines()[2].endswith("a long run: 1 passed, 1 failed.**")


@pytest.mark.parametrize(
    ("it", "more", "shown"),
    [
        (row(every=True), {"injected": 3, "fired": 3}, "| passed | 3 | 3 | all |"),
        (row(), {"injected": 3, "fired": 2}, "| passed | 3 | 2 | one |"),
        (row(), {"recover_p50": 0.2, "recover_max": 0.9}, "| 0.2, 0.9 |"),
        (row(simulated=True), {"recover_p50": 0.2, "recover_max": 0.9}, "| 0.2, 0.9 (simulated) |"),
        (row(simulated=True), {}, "|  | 1 |  |"),
        (row(), {"ledger": "balanced"}, "| balanced |"),
        (row(audited=False), {"ledger": "balanced"}, "| not asked |"),
        (row(), {"commit": "0123456789ab+"}, "| 0123456789ab+ |"),
    ],
)
def test_a_line_of_the_report_says_what_had_to_fire_whose_seconds_it_has_who_was_asked_and_what_it_ran_on(
    it: Row, more: dict[str, Any], shown: str
) -> None:
    (line,) = [one for one in markdown(Report([result(it.name, **more)], []), [it]).splitlines() if "](#a-row)" in one]
    assert shown in line


def test_every_line_of_the_table_has_as_many_columns_as_its_head() -> None:
    rows = [row("a row that ran"), row("a row that did not")]
    results = [result(rows[0].name), result(rows[1].name, state="not run", why="there is no loop device")]
    lines = [line for line in markdown(Report(results, []), rows).splitlines() if line.startswith("|")]
    assert len(lines) == 4
    assert len({line.count("|") for line in lines}) == 1


def test_what_a_row_judges_in_another_way_stands_with_its_fault() -> None:
    it = row(judged="What was damaged is lost.")
    assert "\nf\n\nWhat was damaged is lost.\n\n- " in markdown(Report([result(it.name)], []), [it])


def test_a_row_is_run_in_a_process_of_its_own_and_one_that_nobody_knows_has_failed() -> None:
    results = list(run_rows([row("nobody knows it")], "short", 7, 1, None))
    assert [(each.state, each.why) for each in results] == [("failed", "its process ended with 2")]


def test_a_campaign_that_is_cut_short_keeps_the_rows_that_have_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [each.name for each in all_rows()[:2]]

    def cut_short(*_: object) -> Iterator[Result]:
        yield result(names[0])
        raise KeyboardInterrupt

    monkeypatch.setattr("faults.__main__.run_rows", cut_short)
    with pytest.raises(KeyboardInterrupt):
        main(["--only", names[0], "--only", names[1], "--report", str(tmp_path)])
    kept = msgspec.json.decode((tmp_path / "campaign.json").read_bytes(), type=Report)
    assert [each.row for each in kept.rows] == names[:1]


def test_a_report_says_when_all_its_rows_ran_at_one_commit() -> None:
    rows = [row("a"), row("b")]
    both = [result("a", commit="abc"), result("b", commit="abc")]
    assert "0 failed.** All of them at abc." in markdown(Report(both, []), rows)
    both[1].commit = "def"
    assert "All of them" not in markdown(Report(both, []), rows)


def test_every_row_has_a_name_of_its_own_and_both_its_forms() -> None:
    rows = all_rows()
    assert len({each.name for each in rows}) == len(rows) > 0
    assert all(each.long >= each.short > 0 for each in rows)
