"""What stands in the cursor topic: its format. Sans-IO.

The topic has one partition and is compacted: of each key the last value stays. Keys are text, values JSON objects, so
that any client shows them to people. STREAM is a stream id, 32 hex digits; OWNER a transactional id.

    cursor/SINK/STREAM        {"next":4711,"epoch":3,"incarnation":"q1…=","check":12,"original_check":12,"v":1}
    claim/SINK/STREAM/OWNER   {"generation":2,"fenced":{"shipper-…":1},"v":1}

- A cursor says: everything of this stream before number ``next`` stands in the topics. It is written in the same
  transaction as the records that move it, and so is true of what a reader sees that reads committed records only.
  The rest says which opening of the stream's spool wrote its last frame, and names that frame: 0 and "" where it is not
  known. Bytes are base64.
- A claim says: the process with this transactional id writes this stream's records. Of the claims of a stream the one
  with the greatest generation holds, of two equal ones that of the greater id. ``fenced`` names processes that can
  write nothing any more that they began under their claim of that generation or an earlier one. Claims are never
  removed: one small record a stream and collector that ever had it.

A program reads every ``v`` up to its own, and refuses a later one. A new field needs no new ``v`` where those who do
not know it may drop it.
"""

from typing import Final, Literal, NamedTuple, cast

import msgspec

from shipper.errors import UNREADABLE, FutureFormat, SinkError

VERSION: Final = 1
_HEX: Final = 32


class Key(NamedTuple):
    """What a record of the cursor topic is about."""

    kind: Literal["cursor", "claim"]
    sink: str
    """The sink's name in the config. It has no slash in it."""
    stream: bytes
    """16 bytes."""
    owner: str = ""
    """Of a claim: the transactional id of the process that claims."""

    def encode(self) -> bytes:
        """As it stands in the topic."""
        text = f"{self.kind}/{self.sink}/{self.stream.hex()}"
        return (f"{text}/{self.owner}" if self.kind == "claim" else text).encode()


class Cursor(msgspec.Struct, frozen=True, kw_only=True):
    """Where a stream stands."""

    next: int
    """The first number that does not stand in the topics."""
    epoch: int = 0
    """Which opening of the stream's spool number ``next - 1`` came from; 0: not known."""
    incarnation: bytes = b""
    """The epoch's random companion."""
    check: int = 0
    """``Frame.check`` of frame ``next - 1``; 0: not known, or it is a gap."""
    original_check: int = 0
    """``Frame.original_check`` of it."""
    v: int = VERSION


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody writes a stream's records."""

    generation: int
    """Greater than that of every claim of the stream that stood in the topic when it was made."""
    fenced: dict[str, int] = {}
    """Transactional ids, each with the generation of its claim up to which it was fenced since this claim stands in the
    topic."""
    v: int = VERSION


class _Any(msgspec.Struct):
    v: int


_read_version: Final = msgspec.json.Decoder(_Any).decode
_cursor: Final = msgspec.json.Decoder(Cursor).decode
_claim: Final = msgspec.json.Decoder(Claim).decode
encode_value: Final = msgspec.json.Encoder().encode


def decode_key(key: bytes | None) -> Key | None:
    """The key of a record that a shipper wrote; None: somebody else wrote it."""
    parts = (key or b"").decode(errors="replace").split("/", 3)
    kinds = {"cursor": 3, "claim": 4}
    if len(parts) != kinds.get(parts[0]) or len(parts[2]) != _HEX:
        return None
    try:
        stream = bytes.fromhex(parts[2])
    except ValueError:
        return None
    found = Key(cast("Literal['cursor', 'claim']", parts[0]), parts[1], stream, *parts[3:])
    return found if found.encode() == key else None


def decode_value(key: Key, value: bytes) -> Cursor | Claim:
    """What a record of this key says.

    :raises FutureFormat: a newer shipper wrote it.
    :raises SinkError: no shipper wrote it.
    """
    try:
        version = _read_version(value).v
        if version > VERSION:
            raise FutureFormat(
                f"the cursor topic's record {key.encode().decode()} has format {version}; this shipper reads up to "
                f"{VERSION}: upgrade it"
            )
        return _cursor(value) if key.kind == "cursor" else _claim(value)
    except UNREADABLE as error:
        raise SinkError(
            f"the cursor topic's record {key.encode().decode()} is none that a shipper writes ({error}): something "
            "else writes to this topic; give the sink a cursor_topic of its own"
        ) from error
