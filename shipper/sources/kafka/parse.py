r"""The records of a batch, read in Python: for batches in which the name of a header is not UTF-8. Sans-IO.

Kafka says that such names are UTF-8, and takes any bytes: librdkafka writes what it is given. aiokafka's parser, six
times as fast as this one, stops there. The format is that of ``shipper.kafka.batch``.

A byte that is no UTF-8 becomes ``\xff`` in a name, as Python writes it: so different names stay different fields.
"""

import struct
from typing import Any, Final

from aiokafka.record.default_records import DefaultRecord

from shipper.kafka.batch import HEADER_SIZE
from shipper.kafka.codecs import decompress

_BASE: Final = struct.Struct(">q")
_REST: Final = struct.Struct(">h4xqq14xi")
_REST_AT: Final = 21
_COMPRESSION: Final = 0x07
_SET_BY_BROKER: Final = 0x08
"""The records' time is when the broker took the batch."""


def parse(batch: memoryview) -> list[Any]:
    """The records, as aiokafka has them.

    :raises ValueError: it holds something else.
    :raises OverflowError: so it does, and an offset or time has more than 64 bits.
    """
    (base,) = _BASE.unpack_from(batch)
    attributes, start, latest, count = _REST.unpack_from(batch, _REST_AT)
    by_broker = attributes & _SET_BY_BROKER
    body = _Body(decompress(attributes & _COMPRESSION, batch[HEADER_SIZE:]))
    records = []
    for _ in range(count):
        length = body.number()
        end = body.at + length
        body.number()  # attributes: none are defined
        time, number = start + body.number(), base + body.number()
        key, value = body.data(), body.data()
        headers = [(body.name(), body.data()) for _ in range(body.count())]
        if body.at != end:
            raise ValueError(f"a record of {length} bytes has {length + body.at - end}")
        records.append(DefaultRecord(number, latest if by_broker else time, 1 if by_broker else 0, key, value, headers))
    if body.left:
        raise ValueError(f"{body.left} bytes behind the last record")
    return records


class _Body:
    """What a batch holds, and how far it is read."""

    def __init__(self, whole: bytes) -> None:
        self._whole = whole
        self.at = 0

    @property
    def left(self) -> int:
        """Bytes that are not read yet."""
        return len(self._whole) - self.at

    def number(self) -> int:
        """A zigzag varint, of 64 bits at most.

        :raises ValueError: there is none.
        """
        found = shift = 0
        while shift < 64 and self.left > 0:
            byte = self._whole[self.at]
            self.at += 1
            found |= (byte & 0x7F) << shift
            if byte < 0x80:
                return found >> 1 ^ -(found & 1)
            shift += 7
        raise ValueError("it ends within a number, or the number does not end")

    def count(self) -> int:
        """How many of something follow.

        :raises ValueError: more than there are bytes, or less than none.
        """
        count = self.number()
        if not 0 <= count <= self.left:
            raise ValueError(f"{count} of something where {self.left} bytes are left")
        return count

    def data(self) -> bytes | None:
        """Bytes, or null.

        :raises ValueError: it ends before them.
        """
        size = self.number()
        if size < 0:
            return None
        if size > self.left:
            raise ValueError(f"{size} bytes where {self.left} are left")
        self.at += size
        return self._whole[self.at - size : self.at]

    def name(self) -> str:
        """The name of a header.

        :raises ValueError: there is none.
        """
        name = self.data()
        if name is None:
            raise ValueError("a header without a name")
        return name.decode("utf-8", "backslashreplace")
