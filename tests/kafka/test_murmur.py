"""Keys and partitions as Java's clients see them."""

import pytest
from aiokafka.partitioner import murmur2 as murmur2_of_aiokafka
from hypothesis import given
from hypothesis import strategies as st

from shipper.kafka.murmur import murmur2, partition_of


@pytest.mark.parametrize(
    ("key", "java"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_hashes_are_those_of_kafkas_own_tests(key: bytes, java: int) -> None:
    """The cases of ``UtilsTest.testMurmur2`` in Apache Kafka; Java's numbers have a sign."""
    assert murmur2(key) == java % 2**32


@given(st.binary(max_size=64), st.integers(1, 200))
def test_every_key_has_the_partition_that_another_client_gives_it(key: bytes, partitions: int) -> None:
    assert partition_of(key, partitions) == (murmur2_of_aiokafka(key) & 0x7FFFFFFF) % partitions
