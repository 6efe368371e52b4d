"""Lines that are too long, from the file to the spool: what does not go on is counted."""

import random
from pathlib import Path

import pytest
from support.engine import engine, frames
from support.following import source

from shipper_processors.parse_json import ParseJson

SIZE = 1024 * 1024 + 1000
RUBBISH = bytes(at for at in range(1, 32) if at not in b"\t\n\r")
"""Each takes six bytes in JSON."""


@pytest.mark.parametrize("alphabet", [b"abc", RUBBISH], ids=["text", "rubbish"])
async def test_very_long_line_that_no_frame_holds_as_json_is_a_dead_letter_and_all_of_it_is_counted(
    tmp_path: Path, alphabet: bytes
) -> None:
    """The line is cut to what a frame holds; then a processor makes JSON of it."""
    line = bytes(random.Random(1).choices(alphabet, k=SIZE))
    (tmp_path / "a.log").write_bytes(b"first\n" + line + b"\nlast\n")
    async with engine(tmp_path / "spool", [ParseJson()], 256 << 20) as intake:
        await source(tmp_path).run(intake, once=True)
        await intake.settle()
        value = intake.metrics.value
        failed = alphabet is RUBBISH
        assert value("shipper_dead_letters_total", processor="frame") == failed
        assert value("shipper_records_total", source="app", stage="read") == 3
        assert value("shipper_records_total", source="app", stage="kept") == 3 - failed
        assert value("shipper_records_total", source="app", stage="failed") == failed
        assert value("shipper_lost_bytes_total", reason="too_long") == SIZE - intake.max_record
    spans = [span for frame in frames(tmp_path / "spool") for span in frame.meta.ranges]
    read = [span for span in spans if not span.lost]
    assert [span.start for span in read] == [0, *(span.end for span in read)][:-1]
    assert read[-1].end == SIZE + 12
    assert sum(span.failed for span in read) == failed
    assert [(span.start, span.end, span.lost) for span in spans if span.lost] == [
        (6 + intake.max_record, 6 + SIZE, "too_long")
    ]
