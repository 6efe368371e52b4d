"""The journald source, on real journals that systemd-journal-remote writes."""

import os
from pathlib import Path
from typing import Any

import pytest
from conformance.source_suite import numbered
from support.intake import MemoryIntake, running
from support.journal import Journal, damage_entry
from support.journald import following, journald_source, read, records

from shipper.batch import DEAD_LETTER_RAW
from shipper.errors import SourceError

NEXT_BOOT = "8f272978644b4ee1bf5d375ff2bdda57"


async def test_an_entry_is_one_record_whatever_stands_in_it(journal: Journal) -> None:
    """Newlines, bytes that are not UTF-8, NUL, fields that come several times, and large ones."""
    journal.write(b"first\nsecond\n\nthird")
    journal.write(b"caf\xe9 \x00 \xff", BIN=b"\xfe\n\nA=b\n", MANY=[b"one", b"two\n", b"three"])
    journal.write(b"large", BIG=b"x\n" * 100_000)
    journal.entry({"PRIORITY": "9", "WITHOUT": "message"})
    first, second, third, fourth = records(await read(journald_source(journal)))
    assert first == {
        "timestamp": "2015-04-27T08:07:42.217528Z",
        "severity": "info",
        "hostname": "edge-1",
        "unit": "nginx.service",
        "message": "first\nsecond\n\nthird",
        "_BOOT_ID": "7f272978644b4ee1bf5d375ff2bdda57",
    }
    assert second["message"] == "caf\ufffd \x00 \ufffd"
    assert second["BIN"] == "\ufffd\n\nA=b\n"
    assert sorted(second["MANY"]) == ["one", "three", "two\n"]
    assert third["BIG"] == "x\n" * 100_000
    assert (fourth["PRIORITY"], fourth["WITHOUT"], "message" in fourth) == ("9", "message", False)


async def test_an_entry_that_is_too_long_goes_to_the_dead_letters(journal: Journal) -> None:
    """With its first 64 KiB and its length; those around it are shipped, and it does not come again."""
    journal.write(b"before")
    journal.write(b"long", COREDUMP=b"\x7fELF\n\n" * 100_000)
    journal.write(b"after")
    intake = await read(journald_source(journal), MemoryIntake(max_record=100_000))
    assert intake.records() == [b"before", b"after"]
    (letter,) = intake.dead_letters()
    assert len(letter.raw) == DEAD_LETTER_RAW
    assert letter.size > 600_000
    assert (letter.processor, letter.start + letter.index) == ("source", 1)
    assert sum(span.read for span in intake.ranges()) == 3
    assert sum(span.failed for span in intake.ranges()) == 1
    assert (await read(journald_source(journal), intake.restarted())).records() == [b"before", b"after"]


async def test_units_matches_and_priority_choose_entries(journal: Journal) -> None:
    """A unit without suffix is a service; of one field one value is enough, different fields all have to match."""
    journal.write(b"nginx")
    journal.write(b"ssh", _SYSTEMD_UNIT="ssh.service", _TRANSPORT="syslog")
    journal.write(b"timer", _SYSTEMD_UNIT="nginx.timer", _TRANSPORT="journal")
    journal.write(b"urgent", PRIORITY="2")
    cases: list[tuple[dict[str, Any], list[bytes]]] = [
        ({"units": ["nginx"]}, [b"nginx", b"urgent"]),
        ({"units": ["nginx.timer", "ssh"]}, [b"ssh", b"timer"]),
        ({"matches": ["_TRANSPORT=syslog", "_TRANSPORT=journal"]}, [b"ssh", b"timer"]),
        ({"matches": ["_TRANSPORT=syslog", "_SYSTEMD_UNIT=nginx.timer"]}, []),
        ({"priority": "crit"}, [b"urgent"]),
        ({"units": ["nginx"], "priority": "debug", "matches": ["PRIORITY=6"]}, [b"nginx"]),
    ]
    for options, expected in cases:
        intake = await read(journald_source(journal, **options))
        assert intake.records() == expected, options
    with pytest.raises(ValueError, match="not the name of a unit"):
        journald_source(journal, units=["nginx*"])
    with pytest.raises(ValueError, match="FIELD=value"):
        journald_source(journal, matches=["--file=/etc/shadow"])


async def test_at_the_end_only_what_comes_is_read(journal: Journal) -> None:
    """Also when it came while shipper was down, and although nothing was read before."""
    journal.write(b"old", b"older")
    intake = await read(journald_source(journal, start_at="end"))
    assert intake.records() == []
    journal.write(b"while it was down")
    intake = intake.restarted()
    async with running(journald_source(journal, start_at="end"), intake):
        await intake.have(1)
        journal.write(b"and then")
        await intake.records_are(b"while it was down", b"and then")


async def test_entries_of_all_boots_are_read_and_followed(journal: Journal) -> None:
    """Journalctl --follow shows the last boot only."""
    boots = [f"{number}f272978644b4ee1bf5d375ff2bdda57" for number in range(3)]
    for number, boot in enumerate(boots):
        journal.entry({"MESSAGE": f"boot {number}"}, boot)
    intake = MemoryIntake()
    async with running(journald_source(journal), intake):
        await intake.have(3)
        for number, boot in enumerate(boots):
            journal.entry({"MESSAGE": f"again {number}"}, boot)
        await intake.have(6)
    assert len(set(intake.records())) == len(intake.records()) == 6


async def test_rotation_goes_unnoticed(journal: Journal) -> None:
    """While it runs, while it is down, and several at once; old files may be removed once they were read."""
    intake = MemoryIntake(max_bytes=2000)
    for turn in range(6):
        journal.many(numbered(40 * turn, 40 * turn + 20))
        async with running(journald_source(journal), intake):
            await intake.have(40 * turn + 20)
            if turn % 2:
                journal.rotate()
            journal.many(numbered(40 * turn + 20, 40 * turn + 40))
            await intake.have(40 * turn + 40)
        intake = intake.restarted()
        journal.rotate()
    assert intake.records() == numbered(0, 240)


async def test_a_vacuumed_journal_goes_on_with_the_next_entry_there_is(
    journal: Journal, capsys: pytest.CaptureFixture[str]
) -> None:
    """The entry that was read last is gone with its file, and so are some that were not read; that is said."""
    journal.many(numbered(0, 10))
    intake = await read(journald_source(journal))
    journal.many(numbered(10, 20))
    first = journal.file
    journal.rotate()
    journal.many(numbered(20, 30))
    first.unlink()
    intake = await read(journald_source(journal), intake.restarted())
    assert intake.records() == numbered(0, 10) + numbered(20, 30)
    assert "the entry that was read last is not in the journal any more" in capsys.readouterr().err


async def test_a_vacuum_of_what_was_read_loses_and_doubles_nothing(journal: Journal) -> None:
    """Also the first entry after it comes."""
    journal.many(numbered(0, 10))
    intake = MemoryIntake()
    async with running(journald_source(journal), intake):
        await intake.have(10)
        first = journal.file
        journal.rotate()
        first.unlink()
        journal.many(numbered(10, 20))
        await intake.have(20)
    journal.rotate()
    journal.many(numbered(20, 30))
    intake = await read(journald_source(journal), intake.restarted())
    assert intake.records() == numbered(0, 30)


@pytest.mark.parametrize("new", [20, 60])
@pytest.mark.parametrize("clock", [100, 30], ids=["clock on", "clock back"])
async def test_entries_that_come_after_a_power_cut_took_some_that_were_read_are_read(
    journal: Journal, new: int, clock: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """They have the numbers of those that are gone. Fewer came than that, or more; the clock may have no battery."""
    journal.many(numbered(0, 60))
    synced = journal.synced()
    journal.many(numbered(60, 100))
    intake = await read(journald_source(journal))
    journal.power_cut(synced)
    journal.written = clock
    for number in range(100, 100 + new):
        journal.entry({"MESSAGE": f"record {number}"}, NEXT_BOOT)
    intake = await read(journald_source(journal), intake.restarted())
    assert intake.records() == numbered(0, 100 + new)
    assert intake.metrics.value("shipper_source_missing_entries_total", source="app") == 0
    assert "the journal has lost entries that were read" in capsys.readouterr().err
    assert (await read(journald_source(journal), intake.restarted())).records() == numbered(0, 100 + new)


async def test_units_are_read_on_after_a_power_cut_where_the_last_entry_that_is_left_is_of_another(
    journal: Journal, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is said to be lost."""
    journal.write(b"one")
    journal.write(b"other", _SYSTEMD_UNIT="ssh.service")
    synced = journal.synced()
    journal.write(b"two", b"three")
    intake = await read(journald_source(journal, units=["nginx"]))
    journal.power_cut(synced)
    journal.entry({"MESSAGE": "four", "_SYSTEMD_UNIT": "nginx.service"}, NEXT_BOOT)
    intake = await read(journald_source(journal, units=["nginx"]), intake.restarted())
    assert intake.records() == [b"one", b"two", b"three", b"four"]
    assert "may be lost" not in capsys.readouterr().err


async def test_entries_that_come_after_a_power_cut_took_a_whole_boot_are_read(journal: Journal) -> None:
    """By the time when the last one was written that was read: nothing else is left to go by."""
    journal.many(numbered(0, 10))
    synced = journal.synced()
    for number in range(10, 40):
        journal.entry({"MESSAGE": f"record {number}"}, NEXT_BOOT)
    intake = await read(journald_source(journal))
    journal.power_cut(synced)
    for number in range(40, 50):
        journal.entry({"MESSAGE": f"record {number}"}, NEXT_BOOT[::-1])
    intake = await read(journald_source(journal), intake.restarted())
    assert intake.records() == numbered(0, 50)


async def test_entries_that_journald_copied_to_another_file_do_not_come_again(tmp_path: Path) -> None:
    """From /run to /var, where they get other numbers."""
    run, var = Journal(tmp_path / "run"), Journal(tmp_path / "var")
    run.many(numbered(0, 10))
    var.many(numbered(0, 20))
    intake = await read(journald_source(run))
    intake = await read(journald_source(var), intake.restarted())
    assert intake.records() == numbered(0, 20)
    run.close()
    var.close()


async def test_the_first_entry_after_quiet_goes_at_once_and_then_batches_fill(journal: Journal) -> None:
    """A backlog is read as fast as batches are full, whatever ``max_delay`` is."""
    intake = MemoryIntake(max_delay=3600, max_bytes=20_000)
    journal.many([b"x" * 1000] * 200)
    async with running(journald_source(journal), intake):
        await intake.have(150)


async def test_damaged_files_and_entries_are_left_out_and_the_rest_is_read(
    journal: Journal, capsys: pytest.CaptureFixture[str]
) -> None:
    """Files are named, entries are counted by the numbers that the journal gives them."""
    journal.many(numbered(0, 100))
    journal.close()
    for number in (50, 51, 52):
        damage_entry(journal.file, number)
    (journal.directory / "rubbish.journal").write_bytes(os.urandom(100_000))
    (journal.directory / "short.journal").write_bytes(b"LPKSH")
    made = journald_source(journal)
    intake = await read(made)
    assert intake.records() == [line for line in numbered(0, 100) if line.split()[1] not in (b"50", b"51", b"52")]
    assert len(made.problems()) == 2
    assert "rubbish.journal" in str(made.problems())
    for name in ("rubbish.journal", "short.journal"):
        (journal.directory / name).unlink()
    made = journald_source(journal)
    intake = await read(made)
    assert len(intake.records()) == 97
    assert intake.metrics.value("shipper_source_missing_entries_total", source="app") == 3
    assert made.describe().endswith("; 3 entries are missing since the start")
    said = capsys.readouterr().err
    assert "rubbish.journal" in said
    assert "entries of the journal are missing" in said
    assert '"entries_since_start":3' in said


async def test_a_directory_that_appears_later_is_read(journal: Journal) -> None:
    """Until then the source says what is wrong, also at the start-up line."""
    made, intake = journald_source(journal), MemoryIntake()
    async with following(made, intake):
        await intake.until(made.problems)
        assert str(journal.directory) in made.problems()[0]
        assert made.problems()[0] in made.describe()
        journal.many(numbered(0, 10))
        await intake.have(10)
    assert intake.records() == numbered(0, 10)


async def test_once_says_what_it_could_not_read(journal: Journal) -> None:
    """And returns."""
    made = journald_source(journal)
    assert (await read(made)).records() == []
    assert str(journal.directory) in made.problems()[0]


@pytest.mark.parametrize(
    "value",
    [b"\xc1", b"\x93\xa1\xff\xc4\x00\x01", b"\x95\xa0\xc4\x00\x01\xa0" + b"\x91" * 100_000 + b"\xc0"],
    ids=["no message", "not UTF-8", "nested"],
)
async def test_a_position_that_cannot_be_read_stops_it(journal: Journal, value: bytes) -> None:
    """Rather than beginning anew."""
    with pytest.raises(SourceError, match="cannot be read"):
        await read(journald_source(journal), MemoryIntake(state={"position": value}))
