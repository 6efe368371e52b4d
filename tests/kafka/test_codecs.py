"""What brokers send is decompressed with a bound, by aiokafka as well."""

import gzip
import struct
import tracemalloc
from typing import Any

import pytest
from aiokafka.codec import snappy_encode
from aiokafka.record._crecords import default_records
from aiokafka.record.memory_records import MemoryRecords
from hypothesis import given
from hypothesis import strategies as st

from shipper.kafka import codecs
from shipper.kafka.batch import Compression, Draft, headers, stamp
from shipper.kafka.codecs import LEAST, bound_decoders, snappy_decode

XERIAL = b"\x82SNAPPY\0" + struct.pack(">ii", 1, 1)
CLAIM = b"\xff\xff\xff\xff\x0f"
"""A snappy block that says it holds 4 GiB."""


def batch(values: list[bytes], compression: Compression) -> Any:
    """As aiokafka has what a broker sent."""
    bound_decoders()
    made = Draft(0)
    made.add(0, b"\x01", values, headers([]), [])
    data = made.build(compression)
    stamp(data, 7, 0, 0)
    return MemoryRecords(bytes(data)).next_batch()


@pytest.mark.parametrize("compression", ["gzip", "snappy", "lz4", "zstd"])
@given(st.lists(st.binary(max_size=2000), min_size=1, max_size=50))
def test_aiokafka_unpacks_with_these_what_it_packed(compression: Compression, values: list[bytes]) -> None:
    assert [record.value for record in batch(values, compression)] == values


@given(st.binary(max_size=200_000), st.integers(1, 40_000))
def test_blocks_of_javas_clients_are_one_after_the_other(data: bytes, size: int) -> None:
    assert snappy_decode(snappy_encode(data, xerial_blocksize=size)) == data
    assert snappy_decode(snappy_encode(data, xerial_compatible=False)) == data


@pytest.mark.parametrize("compression", ["gzip", "lz4", "zstd"])
def test_a_batch_that_becomes_too_large_is_refused_and_not_held(
    compression: Compression, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(codecs, "LEAST", 10_000_000)
    monkeypatch.setattr(codecs, "RATIO", 1)
    assert sum(len(record.value) for record in batch([bytes(900_000)] * 10, compression)) == 9_000_000
    with pytest.raises(ValueError, match="it may become 10000000 bytes"):
        list(batch([bytes(900_000)] * 12, compression))


@pytest.mark.parametrize(
    "payload",
    [CLAIM, CLAIM + bytes(1000), XERIAL + struct.pack(">i", len(CLAIM)) + CLAIM],
    ids=["alone", "more", "xerial"],
)
def test_what_a_snappy_block_only_claims_is_not_allocated(payload: bytes) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=f"it may become {LEAST} bytes"):
            snappy_decode(payload)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("rest", [b"\0", struct.pack(">i", 5), struct.pack(">i", -1) + bytes(9)])
def test_blocks_that_do_not_fit_are_refused(rest: bytes) -> None:
    with pytest.raises(ValueError, match="block"):
        snappy_decode(XERIAL + rest)


def test_all_blocks_together_may_become_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codecs, "LEAST", 100_000)
    monkeypatch.setattr(codecs, "RATIO", 1)
    packed = snappy_encode(bytes(90_000), xerial_blocksize=30_000)
    assert len(snappy_decode(packed)) == 90_000
    for size in (100_001, 130_000, 200_000):
        with pytest.raises(ValueError, match=r"more than|may become"):
            snappy_decode(snappy_encode(bytes(size), xerial_blocksize=25_000))


def test_gzip_in_several_members_is_one() -> None:
    bound_decoders()
    assert default_records.gzip_decode(gzip.compress(b"one") + gzip.compress(b"two")) == b"onetwo"
    with pytest.raises(ValueError, match="it may become"):
        default_records.gzip_decode(b"none")
