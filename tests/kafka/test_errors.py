"""What Kafka's errors are to us."""

import ssl

import pytest
from aiokafka import errors as kafka

from shipper.errors import SinkError, SinkUnavailable, SourceError, SourceUnavailable
from shipper.kafka.errors import SINK, SOURCE, for_code, repeats, translate

RETRIABLE = [
    *(2, 3, 5, 6, 7, 9, 13, 14, 15, 16, 19, 20, 41, 51, 56, 70, 71, 72, 74, 75, 78, 80, 83, 84, 88, 89, 100, 103, 106),
    *(122, 123, 133),
]
"""The codes that the table in Kafka's documentation (4.3, "Error Codes") calls retriable."""


def caused(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "passes", "text"),
    [
        (for_code(3), True, "there is no such topic"),
        (for_code(5), True, "the partition has no leader now"),
        (for_code(2), True, "CRC"),
        (for_code(19), True, "min.insync.replicas"),
        (for_code(29), False, "this user may not use the topic"),
        (for_code(31), False, "this user may not do that"),
        (for_code(32), False, "is a clock wrong?"),
        (for_code(33), False, "does not offer this SASL mechanism"),
        (for_code(45), True, ""),
        (for_code(58), False, "does not know this user with this password"),
        (for_code(76), False, "UNSUPPORTED_COMPRESSION_TYPE"),
        (for_code(87), False, "a compacted topic takes none without a key"),
        (for_code(100), True, "UNKNOWN_TOPIC_ID"),
        (for_code(-1), True, "an error of its own (code -1)"),
        (for_code(9999), True, "an error of its own (code 9999)"),
        (ConnectionRefusedError(111, "Connect call failed ('127.0.0.1', 1)"), True, "Connection refused"),
        (OSError("no errno"), True, "no errno"),
        (TimeoutError(), True, "no answer in time"),
        (EOFError(), True, "the broker closed the connection"),
        (ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number"), True, "it does not speak TLS"),
        (caused(kafka.KafkaConnectionError("x"), EOFError()), True, "the broker closed the connection"),
        (kafka.AuthenticationFailedError("no"), False, "does not know this user with this password (no)"),
        (kafka.IncompatibleBrokerVersion("too old"), False, "too old"),
        (ValueError("a bug"), False, "a bug"),
    ],
)
def test_an_error_is_retriable_where_nobody_has_to_change_anything(error: Exception, passes: bool, text: str) -> None:
    sink, source = translate(error, "topic logs", SINK), translate(error, "topic logs", SOURCE)
    assert type(sink) is (SinkUnavailable if passes else SinkError)
    assert type(source) is (SourceUnavailable if passes else SourceError)
    assert str(sink).startswith("topic logs: ")
    assert text in str(sink)


def test_an_error_of_ours_stays_what_it_is() -> None:
    error = SinkError("said already")
    assert translate(error, "topic logs") is error


@pytest.mark.parametrize("code", RETRIABLE)
def test_what_kafka_calls_retriable_may_pass(code: int) -> None:
    assert isinstance(translate(for_code(code), "topic logs"), SinkUnavailable)


def test_a_reassignment_ends_by_itself() -> None:
    """Kafka's table does not call it retriable; but nobody has to change anything for it to be over."""
    assert isinstance(translate(for_code(60), "topic logs"), SinkUnavailable)


@pytest.mark.parametrize("code", [45, 46, 47, 48, 49, 51, 52, 59, 90, 120])
def test_what_is_about_one_producers_state_is_not_asked_again_of_the_same(code: int) -> None:
    """A new producer has none of it."""
    assert isinstance(translate(for_code(code), "topic logs"), SinkUnavailable)
    assert not repeats(for_code(code))


@pytest.mark.parametrize("code", [-1, 2, 3, 5, 6, 7, 13, 19, 20, 56, 75, 89, 100])
def test_what_is_about_the_brokers_is_asked_again(code: int) -> None:
    assert repeats(for_code(code))


def test_a_producer_that_was_shut_out_hears_by_what() -> None:
    other = "somebody else began under the same transactional id, or the transaction took too long"
    assert str(translate(for_code(90), "topic logs")) == f"topic logs: {other}"
    assert str(translate(for_code(47), "topic logs")) == f"topic logs: {other}"
