"""The hash by which Java's clients, librdkafka's ``murmur2`` partitioner and ours find a key's partition. Sans-IO.

It is MurmurHash2 by Austin Appleby (public domain), 32 bits, with the seed of Kafka's Java client.
"""

import struct
from functools import lru_cache
from typing import Final

_SEED: Final = 0x9747B28C
_M: Final = 0x5BD1E995
_MASK: Final = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """The hash of the bytes, without sign: 0 to 2**32 - 1."""
    length = len(data)
    words = length // 4
    found = _SEED ^ length
    for word in struct.unpack_from(f"<{words}I", data):
        mixed = word * _M & _MASK
        found = (found * _M & _MASK) ^ ((mixed ^ mixed >> 24) * _M & _MASK)
    rest = data[words * 4 :]
    if rest:
        found = (found ^ int.from_bytes(rest, "little")) * _M & _MASK
    found = (found ^ found >> 13) * _M & _MASK
    return found ^ found >> 15


@lru_cache(maxsize=4096)
def partition_of(key: bytes, partitions: int) -> int:
    """The partition of a key, 0 to ``partitions`` - 1: the same that Java's default partitioner chooses."""
    return (murmur2(key) & 0x7FFFFFFF) % partitions
