"""State, cursors, dead letters and the cursor topic: msgpack and JSON whose checksums may hold all the same."""

import struct
from typing import Any, Final

from fuzz.mutate import mutated
from fuzz.target import Target
from fuzz.targets.formats import STREAM, WORDS, pack
from hypothesis import strategies as st

from shipper.batch import DeadLetter
from shipper.errors import FutureFormat, SinkError, SourceError, SpoolError
from shipper.sinks.kafka.cursors import Claim, Cursor, Key, decode_key, decode_value, encode_value
from shipper.sources.file.identity import decode_position
from shipper.sources.kafka.partition import decode as decode_kafka_position
from shipper.sources.kafka.position import Committed, metadata, resume
from shipper.spool.body import CursorValue, decode_body, decode_snapshot, encode_snapshot_file
from shipper.spool.dead_letters import HEADER_SIZE, letters
from shipper.spool.frame import crc32c, extend_crc32c
from shipper.spool.replayed import decode as decode_replayed
from shipper.spool.slots import SLOT, read_slots

CURSOR: Final = [5, [1, 64], 7, [1, 64], [9, -1, "dropped"], True]
LETTER: Final = [7, 64, 0, [b"raw", 3, "parse", "error", {"host": "h"}, "app", b"g" * 16, 0, 0, 0, 1, True]]


def packed(value: Any) -> st.SearchStrategy[bytes]:
    """The msgpack of a value with mistakes in it."""
    return mutated(st.just(pack(value)), WORDS, 3)


@st.composite
def slots(draw: st.DrawFn) -> bytes:
    """A two-slot file whose checksums hold."""
    data = b""
    for generation in draw(st.tuples(*[st.sampled_from([0, 1, 2, 2**64 - 1])] * 2)):
        value = draw(packed(CURSOR))[: SLOT - 20]
        length = draw(st.sampled_from([len(value), 0, 1, 0xFFFF]))
        slot = (struct.pack("<4sHHQ", b"SHPC", draw(st.sampled_from([1, 1, 1, 2])), length, generation) + value).ljust(
            SLOT - 4, b"\0"
        )
        data += slot + crc32c(slot).to_bytes(4, "little")
    return draw(mutated(st.just(data), most=1))


def read_cursor(data: bytes) -> None:
    """The value with the highest generation, or none and which slots are damaged."""
    read = read_slots(data, CursorValue, "a.cur")
    assert (read.value is None) == (read.generation == 0)
    assert set(read.damaged) <= {0, SLOT}


@st.composite
def letter_files(draw: st.DrawFn) -> bytes:
    """A file of dead letters; each letter's checksum holds before the last mistakes."""
    data = bytes(HEADER_SIZE)
    for _ in range(draw(st.integers(0, 4))):
        value = draw(packed(LETTER))
        size = len(value).to_bytes(4, "little")
        data += (
            draw(st.sampled_from([b"SHPL", b"SHPR"]))
            + size
            + extend_crc32c(crc32c(size), value).to_bytes(4, "little")
            + value
        )
    return draw(mutated(st.just(data), (b"SHPL", b"SHPR", b"SHP"), 2))


def read_letters(data: bytes) -> None:
    """Only whole ones, in order, none overlapping another."""
    before = HEADER_SIZE
    for stored, start, end in letters(data):
        assert before <= start < end <= len(data)
        assert isinstance(stored.letter, DeadLetter)
        before = end


def read_topic(record: tuple[bytes, bytes]) -> None:
    """What is no shipper's is passed over by its key, or refused by name."""
    key = decode_key(record[0])
    if key is None:
        return
    assert key.encode() == record[0]
    value = decode_value(key, record[1])
    assert isinstance(value, Cursor if key.kind == "cursor" else Claim)


def read_metadata(text: str) -> None:
    """Whatever somebody committed, there is a place to go on at."""
    found = resume(None, Committed(5, text))
    assert found is not None
    assert (found.offset, len(found.generation)) == (5, 16)


TOPIC_WORDS: Final = (
    b"\xff",
    b"[" * 3000,
    b'"\\ud800"',
    b"1e999",
    b"9" * 400,
    b"-1",
    b"null",
    b"cursor/",
    b"claim/",
    b"{",
    b"}",
)
KEYS: Final = [Key("cursor", "kafka", STREAM).encode(), Key("claim", "kafka", STREAM, "owner").encode()]
VALUES: Final = [
    encode_value(Cursor(next=7, epoch=1, incarnation=b"i" * 16)),
    encode_value(Claim(generation=2, fenced={"a": 1})),
]
POSITION: Final = [b"/var/log/a.log", b"", 1, 2, 3, 4, 5, b"p" * 8, b"t" * 8, b"", 1, "gzip", {"stdout": 9}]

MARK: Final = [7, 1, b"i" * 16, 5, 5]
BODY: Final = [{"file/a": b"v", "gone": None}, [], [STREAM, MARK], [STREAM, 1, 5, -1, "corruption"], [STREAM, 1, 0]]
SNAPSHOT: Final = [
    {"file/a": b"v"},
    {STREAM: MARK},
    {"central": [5, [1, 64], 7, [1, 64], [9, -1, "dropped"], False]},
    [[1, 1]],
]


def read_snapshot(data: bytes) -> None:
    """From the entry, or a file of its own: the same."""
    assert (decode_snapshot(data) is None) == (decode_snapshot(b"", encode_snapshot_file(data)) is None)


TARGETS: Final = (
    Target("entry's body", packed(BODY), decode_body, (SpoolError,)),
    Target("snapshot", packed(SNAPSHOT), read_snapshot),
    Target("cursor slots", slots(), read_cursor, (FutureFormat,)),
    Target("dead letters", letter_files(), read_letters),
    Target(
        "replayed letters", packed(["7.dlq", STREAM, [[28, [7, 64, 0]]], [0, 0, -1]]), decode_replayed, (SpoolError,)
    ),
    Target("file position", packed(POSITION), lambda data: decode_position("00" * 16, data), (SourceError,)),
    Target(
        "Kafka position", packed([5, b"g" * 16, -1]), lambda data: decode_kafka_position("t/0", data), (SourceError,)
    ),
    Target(
        "cursor topic",
        st.tuples(mutated(st.sampled_from(KEYS), TOPIC_WORDS, 1), mutated(st.sampled_from(VALUES), TOPIC_WORDS, 3)),
        read_topic,
        (FutureFormat, SinkError),
    ),
    Target(
        "committed metadata",
        mutated(st.just(metadata(STREAM).encode())).map(lambda data: data.decode("utf-8", "replace")),
        read_metadata,
    ),
)
