"""The pages of promises name tests that are there, and a reader finds the pages."""

import re
from pathlib import Path

import pytest
from support.named import names_in

ROOT = Path(__file__).parents[2]
PROMISES, TAILING = PAGES = ("docs/reliability/promises.md", "docs/reliability/tailing.md")
NAME = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


def rows_of(text: str) -> list[list[str]]:
    return [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in text.splitlines()
        if line.startswith("| ") and not line.startswith("| What is said")
    ]


TEXTS = {page: (ROOT / page).read_text("utf-8") for page in PAGES}
CASES = [pytest.param(part, id=part.partition("\n")[0]) for part in TEXTS[TAILING].split("\n## ")[1:]]


@pytest.mark.parametrize(("path", "name"), sorted({match for text in TEXTS.values() for match in NAME.findall(text)}))
def test_a_test_that_a_promise_names_is_there(path: str, name: str) -> None:
    assert name.lower().startswith("test")
    assert name in names_in(path)


@pytest.mark.parametrize(("page", "least"), [(PROMISES, 150), (TAILING, 60)])
def test_every_promise_names_a_test_or_says_that_it_has_none(page: str, least: int) -> None:
    rows = rows_of(TEXTS[page])
    assert len(rows) >= least
    for row in rows:
        assert len(row) == 3, row
        assert NAME.search(row[1]) or row[1].startswith(("no test: ", "not met: ")), row
        assert row[2] in ("", "broken"), row
        assert row[2] == "" or NAME.search(row[1]), row


@pytest.mark.parametrize("case", CASES)
def test_each_case_of_tailing_has_a_test_that_bears_its_name(case: str) -> None:
    words = re.sub(r"\W+", "_", case.partition("\n")[0].lower()).strip("_")
    assert any(words in name for _, name in NAME.findall(case)), words


@pytest.mark.parametrize("page", PAGES)
def test_a_reader_finds_the_page(page: str) -> None:
    assert f"({page})" in (ROOT / "README.md").read_text("utf-8")


def test_the_readme_says_what_is_not_promised() -> None:
    said = re.sub(r"\s+", " ", (ROOT / "README.md").read_text("utf-8"))
    for words in (
        "overwritten or deleted before they could be read (they are counted)",
        "a copied or restored data directory (at least once, with an alarm)",
        "several collectors for one agent (at least once over all of them, and in order at each of them alone)",
    ):
        assert words in said
