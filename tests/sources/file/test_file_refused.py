"""Files that patterns mean and that are left alone: compressed in ways that are not read."""

import bz2
import io
import lzma
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from support.following import QUICK, append, following, numbered, source
from support.intake import MemoryIntake

from shipper.sources.file.identity import PREFIX_SIZE
from shipper.sources.file.refused import foreign, unfinished

PLAIN = b"".join(line + b"\n" for line in numbered(0, 2000))


def _tar(data: bytes) -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as archive:
        info = tarfile.TarInfo("app.log")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))
    return made.getvalue()


def _zip(data: bytes) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("app.log", data)
    return made.getvalue()


def _gzip(data: bytes) -> bytes:
    return subprocess.run(["gzip", "-c"], input=data, capture_output=True, check=True).stdout


def _empty_bzip2(_: bytes) -> bytes:
    return bz2.compress(b"")


def _old_lzma(data: bytes) -> bytes:
    return lzma.compress(data, format=lzma.FORMAT_ALONE)


FORMS: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "app.log.1.xz": (lzma.compress, "compressed with xz"),
    "app.log.1.bz2": (bz2.compress, "compressed with bzip2"),
    "app.log.2.bz2": (_empty_bzip2, "compressed with bzip2"),
    "app.log.1.lzma": (_old_lzma, "compressed with lzma"),
    "app.log.1.tar": (_tar, "a tar archive"),
    "app.log.1.zip": (_zip, "a zip archive"),
    "app.log.1": (lzma.compress, "compressed with xz"),
    "app.log.backup": (_gzip, "compressed with gzip"),
    "app.log.1.gz": (zstandard.ZstdCompressor().compress, "compressed with zstd"),
}
"""What real programs and libraries write."""
MAGICS = {
    b"\x1f\x9d\x90rest": "compressed with compress",
    b"\x04\x22\x4d\x18\x64\x40\xa7": "compressed with lz4",
    b"LZIP\x01\x0c": "compressed with lzip",
    b"\x89LZO\x00\r\n\x1a\n\x10": "compressed with lzop",
    b"\xff\x06\x00\x00sNaPpY": "compressed with snappy",
    b"7z\xbc\xaf\x27\x1c\x00\x04": "a 7z archive",
    b"Rar!\x1a\x07\x01\x00": "a rar archive",
}
"""As their formats say."""


@pytest.mark.parametrize("name", FORMS)
async def test_a_file_that_is_compressed_in_another_way_is_left_alone_and_said_once(
    tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """No line of it goes out, whatever it is called; other files under the pattern are read."""
    make, what = FORMS[name]
    (tmp_path / name).write_bytes(make(PLAIN))
    made, intake = source(tmp_path, "app.log*"), MemoryIntake()
    async with following(made, intake, QUICK):
        append(tmp_path / "app.log", b"one")
        await intake.records_are(b"one")
        append(tmp_path / "app.log.0", b"zero")
        await intake.have(2)
        assert intake.records() == [b"one", b"zero"]
        (problem,) = made.problems()
    assert problem.startswith(f"{tmp_path / name} is {what}: left alone; ")
    assert capfd.readouterr().err.count(problem) == 1
    again = intake.restarted()
    await source(tmp_path, "app.log*").run(again, once=True)
    assert again.records() == [b"one", b"zero"]


@pytest.mark.parametrize(("head", "what"), MAGICS.items(), ids=[what.split()[-1] for what in MAGICS.values()])
def test_the_first_bytes_of_other_forms(head: bytes, what: str) -> None:
    """Those for which there is no program here."""
    assert str(foreign("a", head + bytes(PREFIX_SIZE))).startswith(f"a is {what}: ")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("app.log.1.xz", b"7zXZ is a magic number"),
        ("app.log.1.bz2", b"BZh9 is how bzip2 begins"),
        ("app.log.1.zip", b"PK are his initials"),
        ("app.log.1.lz", b"LZIP is a program"),
        ("app.log.1.tar", b"a" * 300 + b" ustar"),
        ("app.log.1.Z", b"BZ"),
        ("app.log", b"BZ"),
        ("app.log.2", b"Rar!"),
        ("app.log.3", b"ustar"),
    ],
)
async def test_a_text_that_begins_alike_is_read(tmp_path: Path, name: str, text: bytes) -> None:
    """Names do not decide, nor do a few letters."""
    append(tmp_path / name, text)
    intake = MemoryIntake()
    async with following(source(tmp_path, "app.log*"), intake, QUICK):
        await intake.records_are(text)
        append(tmp_path / name, b"more")
        await intake.records_are(text, b"more")


@given(
    st.text(st.characters(exclude_characters="\0", min_codepoint=32, exclude_categories=["Cs"]), max_size=PREFIX_SIZE)
)
def test_no_text_is_refused(text: str) -> None:
    """Whatever it says, in any encoding that most logs have."""
    assert foreign("a.log", text.encode()) is None
    assert not unfinished("a.log", text.encode())


@pytest.mark.parametrize("name", ["app.log.1.xz", "app.log.1.xz.tmp"])
async def test_a_file_that_is_compressed_just_now_is_left_alone_from_its_first_byte(tmp_path: Path, name: str) -> None:
    """It is empty when it is seen first; what it becomes nobody reads."""
    packing = tmp_path / name
    packing.touch()
    made, intake = source(tmp_path, "app.log*"), MemoryIntake()
    async with following(made, intake, QUICK):
        whole = lzma.compress(PLAIN)
        for cut in (3, 40, len(whole)):
            packing.write_bytes(whole[:cut])
            append(tmp_path / "app.log", b"%d" % cut)
            await intake.until(lambda cut=cut: intake.records()[-1:] == [b"%d" % cut])  # type: ignore[misc]
        await intake.until(made.problems)
    assert intake.records() == [b"3", b"40", b"%d" % len(whole)]


async def test_what_was_refused_is_read_when_it_is_text(tmp_path: Path) -> None:
    """It was replaced by what it is made of."""
    (tmp_path / "app.log.1").write_bytes(lzma.compress(PLAIN))
    made, intake = source(tmp_path, "app.log*"), MemoryIntake()
    async with following(made, intake, QUICK):
        assert made.problems()
        (tmp_path / "app.log.1").write_bytes(b"one\n")
        await intake.records_are(b"one")
        await intake.until(lambda: not made.problems())
