"""Text of files: any encoding becomes lines in UTF-8, one to one, whatever the bytes are."""

import codecs
import encodings.aliases

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shipper.sources.file.framing import Chunk, line_starts
from shipper.sources.file.text import UTF_8, Encoding, Text


def _texts() -> dict[str, Text]:
    """Each codec of Python that files can be read in, where its newline does not depend on a byte order mark."""
    found = {}
    for name in sorted(set(encodings.aliases.aliases.values())):
        try:
            encoding = Encoding(name)
        except ValueError:
            continue
        if encoding.text is not None:
            found[encoding.name] = encoding.text
    return found


TEXTS = _texts()
PIECES = st.one_of(
    st.binary(max_size=5),
    st.sampled_from([b"\r", b"\0", b"\0\0\0\0", b"\xef\xbb\xbf", b"\x81", b"\x8f\xa1", b"\x81\x30\x81", b"\xd8\x00"]),
    st.text(max_size=4).map(lambda text: text.encode("utf-16-le", "replace")),
    st.text(max_size=4).map(lambda text: text.encode("gb18030", "replace")),
)


WRITTEN = st.characters(codec="utf-8", exclude_characters="\r\n\0\ufeff")


def lines_of(text: Text, raw: bytes, at: int = 0) -> list[bytes]:
    return text.lines(raw, at, fresh=True).data.split(b"\n")[:-1]


def raw_of(text: Text, lines: list[list[bytes]]) -> bytes:
    """Whole lines of these pieces; a newline that a piece holds is one more line."""
    padded = (b"".join(pieces) for pieces in lines)
    return b"".join(line + b"x" * (-len(line) % text.width) + text.newline for line in padded)


def test_encodings_of_python_are_there_and_those_that_cannot_be_read_by_lines_are_not() -> None:
    """Most of them; statefulness over lines cannot be known from the middle of a file."""
    assert {"utf-8", "utf-16-le", "utf-16-be", "iso8859-1", "gbk", "shift_jis", "euc_jp", "cp037", "koi8-r"} <= set(
        TEXTS
    )
    assert not {name for name in TEXTS if name.startswith(("iso2022", "hz", "utf-7"))}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("utf9", "encoding 'utf9' is not known; did you mean '"),
        ("gkb", "encoding 'gkb' is not known; did you mean 'gbk'?"),
        ("latin-15", "encoding 'latin-15' is not known; did you mean 'latin-1'?"),
        ("utf-7", "encoding 'utf-7' cannot be read line by line: "),
        ("iso2022_jp", "encoding 'iso2022_jp' cannot be read line by line: "),
        ("base64", "encoding 'base64' is not one of text files; "),
        ("unicode_escape", "encoding 'unicode_escape' is not one of text files; "),
        ("\0", "encoding '\\x00' is not known; it has to be auto, binary or a text encoding of Python"),
    ],
)
def test_encodings_that_cannot_be_used_are_config_errors(name: str, message: str) -> None:
    """They say why, and which name is near."""
    with pytest.raises(ValueError, match="encoding") as raised:
        Encoding(name)
    assert str(raised.value).startswith(message)


@pytest.mark.parametrize("name", [name for name in sorted(TEXTS) if TEXTS[name].width == 1])
def test_encodings_let_no_damaged_character_swallow_a_newline(name: str) -> None:
    """Decoders of Python do, when they decode more than a line: the half of a character before it takes it along."""
    text = TEXTS[name]
    ends = [bytes([byte]) for byte in range(256)] + [bytes([a, b]) for a in range(128, 256) for b in range(32, 256, 5)]
    ends = [end for end in ends if text.newline not in end]
    raw = b"".join(end + text.newline for end in ends)
    assert len(lines_of(text, raw)) == len(ends)


@given(
    st.sampled_from(sorted(TEXTS)), st.lists(st.lists(PIECES, max_size=4), max_size=8), st.booleans(), st.integers(0, 9)
)
def test_encodings_give_the_same_lines_for_any_split(name: str, lines: list[list[bytes]], mark: bool, cut: int) -> None:
    """At newlines, as files are read; there are as many lines as newlines, and each one's place is known."""
    text = TEXTS[name]
    begin = codecs.BOM_UTF16_LE if mark and name == "utf-16-le" else b""
    raw = begin + raw_of(text, lines)
    whole = text.lines(raw, 0, fresh=True)
    starts = [0]
    for line in text.split(raw)[:-1]:
        starts.append(starts[-1] + len(line) + text.width)
    middle = starts[cut % len(starts)]
    first, second = text.lines(raw[:middle], 0, fresh=True), text.lines(raw[middle:], middle, fresh=True)
    assert whole.data == first.data + second.data
    assert (whole.holes, whole.replaced) == (first.holes + second.holes, first.replaced + second.replaced)
    assert whole.data.count(b"\n") == len(starts) - 1
    assert text.after_last(raw, 0, 0) == starts[-1]
    assert line_starts(Chunk(0, len(raw), whole.data, raw=raw, text=text)) == starts[:-1]
    if name != "utf-8":
        whole.data.decode()


@given(st.sampled_from(sorted(TEXTS)), st.lists(st.text(WRITTEN, max_size=9), max_size=8))
def test_encodings_give_back_the_text(name: str, lines: list[str]) -> None:
    """What was written in one comes out in UTF-8."""
    written = [line.encode(name, "ignore") for line in lines]
    raw = b"".join(line + TEXTS[name].newline for line in written)
    assert lines_of(TEXTS[name], raw) == [line.decode(name).encode() for line in written]


@pytest.mark.parametrize("name", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-be", "latin-1", "cp037"])
def test_crlf_is_cut_once_and_a_carriage_return_elsewhere_is_not(name: str) -> None:
    """One before the newline; in any encoding."""
    text = Encoding(name).text
    assert text is not None
    assert lines_of(text, "a\r\nb\rc\r\r\n\r\n\n".encode(name)) == [b"a", b"b\rc\r", b"", b""]
    assert text.lines("half\r".encode(name), 0, fresh=True).data == b"half\r"


@pytest.mark.parametrize("name", ["utf-8", "utf-16-le", "utf-16-be", "utf-32-be", "latin-1", "cp037"])
def test_nul_holes_are_cut_at_the_start_of_a_line_and_counted_in_bytes(name: str) -> None:
    """NULs inside a line stay; so do those in the rest of a line that a record was made of."""
    text = Encoding(name).text
    assert text is not None
    raw = "\0\0a\0b\0\n\0\n\0\0\0c\n".encode(name)
    lines = text.lines(raw, 0, fresh=True)
    assert (lines.data, lines.holes) == (b"a\0b\0\n\nc\n", 6 * text.width)
    lines = text.lines(raw, 0, fresh=False)
    assert (lines.data, lines.holes) == (b"\0\0a\0b\0\n\nc\n", 4 * text.width)


def test_encodings_cut_a_byte_order_mark_at_byte_0_alone() -> None:
    """Elsewhere it is a character."""
    assert UTF_8.lines(b"\xef\xbb\xbfa\n\xef\xbb\xbfb\n", 0, fresh=True).data == b"a\n\xef\xbb\xbfb\n"
    assert UTF_8.lines(b"\xef\xbb\xbfb\n", 10, fresh=True).data == b"\xef\xbb\xbfb\n"


@pytest.mark.parametrize("newline", ["਀Ā\n", "Ā\nਊ", "਀", "\u0a0a\u000a\u0a00"])
@pytest.mark.parametrize("name", ["utf-16-le", "utf-16-be"])
def test_encodings_find_newlines_at_whole_characters_alone(name: str, newline: str) -> None:
    """Two neighbours may hold the bytes of a newline between them."""
    text = Encoding(name).text
    assert text is not None
    written = f"a{newline}b\n"
    assert lines_of(text, written.encode(name)) == written.encode().split(b"\n")[:-1]
    assert text.find(written.encode(name), 0) == 2 * written.index("\n")
    half = (written + "਀Āਊ").encode(name)
    assert text.after_last(half, 0, 0) == 2 * len(written)


@pytest.mark.parametrize(
    ("encoding", "head", "name"),
    [
        ("auto", b"\xef\xbb\xbf", "utf-8"),
        ("auto", b"\xff\xfea\0", "utf-16-le"),
        ("auto", b"\xfe\xff\0a", "utf-16-be"),
        ("auto", b"\xff\xfe\0\0", "utf-32-le"),
        ("auto", b"\0\0\xfe\xff", "utf-32-be"),
        ("auto", b"a", "utf-8"),
        ("utf-16", b"\xfe\xff", "utf-16-be"),
        ("utf-16", b"a\0", "utf-16-le"),
        ("utf-32", b"\xff\xfe\0\0", "utf-32-le"),
    ],
)
def test_encodings_are_told_by_the_byte_order_mark(encoding: str, head: bytes, name: str) -> None:
    """``auto`` is UTF-8 without one, ``utf-16`` and ``utf-32`` are little-endian. While it may grow nothing is said."""
    made = Encoding(encoding)
    expected = Encoding(name).text
    found = made.text_of(head, settled=False)
    assert found is not None
    assert expected is not None
    assert (found.newline, found.width) == (expected.newline, expected.width)
    assert made.text_of(b"\xff", settled=False) is None
    assert made.text_of(b"\xff", settled=True) is not None


def test_invalid_text_is_replaced_and_lines_that_have_some_are_counted() -> None:
    """A damaged character costs no other line its text."""
    text = Encoding("gbk").text
    assert text is not None
    lines = text.lines("好\n".encode("gbk") + b"\x81\n\xff\xff\xff\n" + "好\n".encode("gbk"), 0, fresh=True)
    assert lines.data.decode() == "好\n\ufffd\n\ufffd\ufffd\ufffd\n好\n"
    assert lines.replaced == 2


def test_line_starts_leave_out_the_rest_of_a_line_that_is_none() -> None:
    """The newline of a half line that was shipped already."""
    raw = b"\r\nsecond\r\nthird\n"
    lines = UTF_8.lines(raw, 100, fresh=False)
    assert lines.data == b"second\nthird\n"
    assert line_starts(Chunk(100, 100 + len(raw), lines.data, raw=raw, text=UTF_8)) == [102, 110]
