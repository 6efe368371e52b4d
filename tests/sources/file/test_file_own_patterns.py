"""Own patterns of multiline: they mean text, and they end."""

import re
import time
from pathlib import Path
from typing import Any

import pytest
from support.following import append, following, source
from support.intake import MemoryIntake

from shipper.sources.file.multiline import Multiline, MultilineConfig
from shipper.units import Duration

CARELESS = "(a|aa)+$"
HOSTILE = b"a" * 60 + b"!"
"""Where the pattern is not found in it after some 10^12 steps."""


def joined(data: bytes, **patterns: str) -> list[bytes]:
    compiled: dict[str, Any] = {name: re.compile(pattern) for name, pattern in patterns.items()}
    config = MultilineConfig(**compiled)
    config.check()
    multiline = Multiline(config.logic(), config.max_lines, int(config.max_bytes))
    records = multiline.feed(data)
    last = multiline.close()
    return records if last is None else [*records, last]


@pytest.mark.parametrize(
    ("patterns", "records"),
    [
        ({"start": CARELESS}, [b"x", b"aa\n" + HOSTILE + b"\ny", b"a\nz"]),
        ({"continue_": CARELESS}, [b"x\naa", HOSTILE, b"y\na", b"z"]),
        ({"end": CARELESS}, [b"x\naa", HOSTILE + b"\ny\na", b"z"]),
    ],
)
def test_a_line_that_a_pattern_is_not_done_with_counts_as_one_without_it(
    patterns: dict[str, str], records: list[bytes]
) -> None:
    """Nothing is lost, and nothing stands still: Python's ``re`` would go on for hours, with all other threads."""
    began = time.monotonic()
    assert joined(b"x\naa\n" + HOSTILE + b"\ny\na\nz\n", **patterns) == records
    assert time.monotonic() - began < 10


async def test_a_pattern_that_took_too_long_is_told_once_and_counted(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """With the source, the option, and what to do about it."""
    intake = MemoryIntake()
    append(tmp_path / "a.log", b"aa", HOSTILE, HOSTILE + b"?", b"a", b"z")
    multiline = MultilineConfig(start=re.compile(CARELESS), flush_after=Duration(0.05))
    async with following(source(tmp_path, multiline=multiline), intake):
        await intake.records_are(b"aa\n" + HOSTILE + b"\n" + HOSTILE + b"?", b"a\nz")
    assert intake.metrics.value("shipper_multiline_timeouts_total", source="app") == 2
    (told,) = [line for line in capfd.readouterr().err.splitlines() if "multiline" in line]
    assert '"source":"app"' in told.replace(": ", ":")
    assert "multiline.start" in told
    assert "can match the same text in many ways" in told


def test_patterns_mean_characters_not_bytes() -> None:
    """As everywhere else in shipper."""
    assert joined("Ä1\nérest\nÖ2\n".encode(), start="^[ÄÖ]") == ["Ä1\nérest".encode(), "Ö2".encode()]
    assert joined("é a\nb\nà c\n".encode(), start="^. ") == ["é a\nb".encode(), "à c".encode()]
    assert joined("Été\nx\néTÉ\n".encode(), start="(?i)^été$") == ["Été\nx".encode(), "éTÉ".encode()]
    assert joined("Åse: 1\n- 2\nøl: 3\n".encode(), start=r"^\w+:") == ["Åse: 1\n- 2".encode(), "øl: 3".encode()]
    assert joined("a\nb\n\u2028c\n".encode(), start=r"\u2028") == [b"a\nb", "\u2028c".encode()]


def test_invalid_text_is_looked_at_as_it_is_shown_and_goes_on_as_it_is() -> None:
    """U+FFFD stands for it in a pattern alone; a newline behind half a character is one."""
    assert joined(b"\xffa\nb\n\xc3\n\xe2\x82\n\xffc\n", start="^\ufffd\\w") == [b"\xffa\nb\n\xc3\n\xe2\x82", b"\xffc"]
