"""The bench's tables: a verdict a row, and a wrong run never passes."""

import json
from pathlib import Path

from benchmarks.latency import percentile
from benchmarks.report import Bar, Row, per, table, write
from benchmarks.verify import Verdict

CLEAN = Verdict(expected=10, received=10)
AT_LEAST = Row("1", "speed", 61.0, "%", Bar(60), None, CLEAN)
AT_MOST = Row("7", "RSS", 45.1, "MiB", Bar(45, at_least=False), Bar(40, at_least=False), CLEAN)
WRONG = Row("3", "fast and wrong", 1e6, "records", Bar(1), None, Verdict(expected=10, received=9, lost=1))
INFORMATION = Row("7", "beside", 1.0, "cores")


def test_a_bar_is_met_from_its_own_side() -> None:
    assert [row.verdict for row in (AT_LEAST, AT_MOST, INFORMATION)] == ["met", "missed", ""]


def test_a_fast_run_that_lost_a_record_is_wrong() -> None:
    assert WRONG.verdict == "WRONG"


def test_the_table_has_a_line_a_row_with_bar_verdict_and_what_became_of_the_records() -> None:
    lines = table([AT_LEAST, AT_MOST, WRONG]).splitlines()
    assert lines[2] == "| 1 | speed | **61.0** % | ≥ 60.0 | met |  | 0 / 0 / 0 of 10 |  |"
    assert lines[3] == "| 7 | RSS | **45.1** MiB | ≤ 45.0 | missed | ≤ 40.0 | 0 / 0 / 0 of 10 |  |"
    assert "| WRONG |  | 1 / 0 / 0 of 10 |" in lines[4]


def test_the_json_holds_the_same_rows_with_their_verdicts(tmp_path: Path) -> None:
    markdown = write(tmp_path, "run", {"cores": 2}, [AT_LEAST, WRONG])
    whole = json.loads(markdown.with_suffix(".json").read_text())
    assert whole["about"] == {"cores": 2}
    assert [row["verdict"] for row in whole["rows"]] == ["met", "WRONG"]
    assert whole["rows"][1]["check"]["lost"] == 1


def test_percentiles_are_values_that_were_measured() -> None:
    values = [float(n) for n in range(100, 0, -1)]
    assert [percentile(values, share) for share in (0, 50, 99, 100)] == [1.0, 51.0, 100.0, 100.0]
    assert percentile([3.0], 99) == 3.0


def test_what_was_measured_in_no_time_is_no_figure_and_says_so(tmp_path: Path) -> None:
    assert per(6.0, 2.0) == 3.0
    figures = {"busy": per(6000, 0.0), "less than the empty run": per(6000, -0.01)}
    row = Row("12", "a moment", per(6000, 0.0), "records per CPU s", Bar(1), None, CLEAN, {**figures})
    assert row.verdict == ""
    cells = table([row]).splitlines()[2]
    assert "| **not measured** records per CPU s |" in cells
    assert cells.endswith("| busy not measured, less than the empty run not measured |")
    written = json.loads(write(tmp_path, "run", {}, [row]).with_suffix(".json").read_text(), parse_constant=fail)
    assert written["rows"][0]["value"] is None
    assert written["rows"][0]["details"] == {"busy": None, "less than the empty run": None}


def fail(constant: str) -> None:
    raise AssertionError(f"{constant} is not JSON")
