"""What was found is in the report, and stays mended: its tests are there."""

import re
from pathlib import Path

import msgspec
import pytest
from faults.found import FILE, Found, found, table
from faults.results import Report, markdown, merge
from faults.row import all_rows
from support.named import names_in

FAULTS = found()


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.test.partition("::")[2])
def test_each_fault_has_a_test_that_is_there_and_the_commit_that_mended_it(fault: Found) -> None:
    path, _, name = fault.test.partition("::")
    assert name.startswith("test_")
    assert name in names_in(path)
    assert re.fullmatch("[0-9a-f]{7,40}", fault.fix)
    assert fault.what.endswith(".")


def test_there_are_faults_and_none_is_told_twice() -> None:
    assert len({fault.what for fault in FAULTS}) == len(FAULTS) >= 18


def test_the_report_has_every_fault_and_says_the_same_to_people_and_programs() -> None:
    report = msgspec.json.decode((FILE.parent / "campaign.json").read_bytes(), type=Report)
    assert report.found == FAULTS
    assert (FILE.parent / "campaign.md").read_text("utf-8") == markdown(report, all_rows())


def test_every_report_that_is_written_has_them(tmp_path: Path) -> None:
    merge(tmp_path, [], [])
    assert table(FAULTS) in (tmp_path / "campaign.md").read_text("utf-8")


def test_a_fault_that_lacks_something_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "found.toml"
    path.write_text('[[found]]\nwhat = "Something."\nby = "a row"\nfix = "0123456"\n')
    with pytest.raises(msgspec.ValidationError, match="test"):
        found(path)


def test_where_nothing_was_found_the_report_says_nothing_of_it() -> None:
    assert "Found" not in markdown(Report([], []), [])
