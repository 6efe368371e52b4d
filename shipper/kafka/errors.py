"""What aiokafka raises and what brokers answer, as errors of our tree. Here, and nowhere else, they are translated.

Retriable is what passes without anybody changing a setting: a broker that is away, a leader that moves, a topic that
is not there yet. Not retriable is what somebody has to allow or to correct first.
"""

import logging
import os
import ssl
from typing import Final, NamedTuple

from aiokafka import errors as kafka

from shipper.errors import ShipperError, SinkError, SinkUnavailable, SourceError, SourceUnavailable
from shipper.log import get_logger
from shipper.wire.certificates import in_words

log = get_logger("kafka")


class Tree(NamedTuple):
    """The branch of the tree that an error goes to."""

    unavailable: type[ShipperError]
    """What may pass by itself."""
    refused: type[ShipperError]
    """What does not."""


SINK: Final = Tree(SinkUnavailable, SinkError)
SOURCE: Final = Tree(SourceUnavailable, SourceError)

TOO_LARGE: Final = (kafka.MessageSizeTooLargeError, kafka.RecordListTooLargeError)
"""The answers that refuse a batch for its size."""
NEVER_TAKEN: Final = (*TOO_LARGE, kafka.InvalidTopicError)
"""The answers that concern a batch alone and do not change: others to other topics are taken."""

_SHUT_OUT: Final = "somebody else began under the same transactional id, or the transaction took too long"
_MISSING_CODES: Final = {
    74: ("FENCED_LEADER_EPOCH", True),
    75: ("UNKNOWN_LEADER_EPOCH", True),
    76: ("UNSUPPORTED_COMPRESSION_TYPE: the topic takes no records of this compression", False),
    87: ("INVALID_RECORD: the broker takes no such records; a compacted topic takes none without a key", False),
    89: ("THROTTLING_QUOTA_EXCEEDED", True),
    90: (_SHUT_OUT, True),
    100: ("UNKNOWN_TOPIC_ID", True),
    120: ("TRANSACTION_ABORTABLE: nothing more can be added to the transaction", True),
}
"""Codes that aiokafka has no class for: name, and whether they pass by themselves."""

_PASSES: Final = (
    kafka.BrokerNotAvailableError,
    kafka.CorruptRecordException,
    kafka.FetchSessionIdNotFound,
    kafka.InvalidFetchSessionEpoch,
    kafka.KafkaTimeoutError,
    kafka.KafkaUnavailableError,
    kafka.ListenerNotFound,
    kafka.ProducerClosed,
    kafka.ReassignmentInProgress,
    kafka.ReplicaNotAvailableError,
    kafka.StaleControllerEpochError,
    kafka.StaleLeaderEpochCodeError,
    kafka.UnknownError,
)
"""Not retriable to aiokafka, and nothing that a setting would change."""
_STARTS_ANEW: Final = (
    kafka.ConcurrentTransactions,
    kafka.DuplicateSequenceNumber,
    kafka.InvalidProducerEpoch,
    kafka.InvalidProducerIdMapping,
    kafka.InvalidTxnState,
    kafka.OutOfOrderSequenceNumber,
    kafka.ProducerFenced,
    kafka.TransactionCoordinatorFenced,
    kafka.UnknownProducerId,
)
"""About one producer's state: a new producer has none."""
_STARTS_ANEW_CODES: Final = frozenset({90, 120})
"""The same, of codes that aiokafka has no class for."""
_WORDS: Final[dict[type[BaseException], str]] = {
    kafka.UnknownTopicOrPartitionError: "there is no such topic",
    kafka.LeaderNotAvailableError: "the partition has no leader now",
    kafka.NotLeaderForPartitionError: "the partition's leader has moved",
    kafka.NotEnoughReplicasError: "fewer replicas are in sync than the topic demands (min.insync.replicas)",
    kafka.NotEnoughReplicasAfterAppendError: "fewer replicas are in sync than the topic demands (min.insync.replicas)",
    kafka.RequestTimedOutError: "no answer in time",
    kafka.CoordinatorLoadInProgressError: "the brokers are getting ready",
    kafka.CoordinatorNotAvailableError: "the brokers are getting ready",
    kafka.TopicAuthorizationFailedError: "this user may not use the topic; grant it the rights",
    kafka.GroupAuthorizationFailedError: "this user may not use the consumer group; grant it the right READ on it",
    kafka.ClusterAuthorizationFailedError: (
        "this user may not do that: grant it WRITE on the topic, and to make topics CREATE"
    ),
    kafka.TransactionalIdAuthorizationFailed: (
        "this user may not use the transactional id; grant it WRITE and DESCRIBE on it"
    ),
    kafka.InvalidProducerEpoch: _SHUT_OUT,
    kafka.UnsupportedSaslMechanismError: "the broker does not offer this SASL mechanism",
    kafka.IllegalSaslStateError: "the broker expects no SASL here",
    kafka.MessageSizeTooLargeError: "it is larger than max.message.bytes of the topic: raise that, or log less",
    kafka.RecordListTooLargeError: "it is larger than the brokers' segments (segment.bytes)",
    kafka.InvalidTopicError: "the brokers take no topic of this name",
    kafka.InvalidTimestampError: "the records' time is too far from the broker's: is a clock wrong?",
    kafka.InvalidTransactionTimeout: "the transaction timeout is over the brokers' transaction.max.timeout.ms",
}


def translate(error: BaseException, what: str, tree: Tree = SINK) -> ShipperError:
    """The error of our tree for one that was raised while talking to Kafka; ``what`` says what it happened to."""
    if isinstance(error, ShipperError):
        return error
    kind = tree.unavailable if passes(error) else tree.refused
    return kind(f"{what}: {in_plain_words(error)}")


def passes(error: BaseException) -> bool:
    """Whether it may pass without anybody changing anything."""
    if isinstance(error, ssl.SSLError) or isinstance(error.__cause__, ssl.SSLError):
        return True  # certificates are renewed, on either side, without a change of the config
    if isinstance(error, kafka.KafkaError):
        known = _MISSING_CODES.get(_code(error))
        if known is not None:
            return known[1]
        return bool(error.retriable) or isinstance(error, _PASSES + _STARTS_ANEW)
    return isinstance(error, OSError | TimeoutError | EOFError)


def repeats(error: BaseException) -> bool:
    """Whether the same request of the same producer may succeed later."""
    return passes(error) and not isinstance(error, _STARTS_ANEW) and _code(error) not in _STARTS_ANEW_CODES


def in_plain_words(error: BaseException) -> str:
    """What an error says, for people: what happened, and what to do where that is known."""
    if isinstance(error, ssl.SSLError):
        return in_words(str(error)) or f"the TLS handshake failed: {error.reason or error}"
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, EOFError | ConnectionResetError):
        return "the broker closed the connection"
    if isinstance(error, OSError):
        known = os.strerror(error.errno) if error.errno is not None and error.errno > 0 else error.strerror
        return known or str(error) or type(error).__name__
    named = _MISSING_CODES.get(_code(error))
    if named is not None:
        return named[0]
    if isinstance(error, kafka.AuthenticationFailedError | kafka.SaslAuthenticationFailed):
        return f"the broker does not know this user with this password ({_text(error)})"
    if isinstance(error, kafka.KafkaConnectionError) and error.__cause__ is not None:
        return in_plain_words(error.__cause__)
    if isinstance(error, kafka.InvalidTopicError) and error.args:
        return f"{_WORDS[type(error)]} ({_text(error)})"
    return _WORDS.get(type(error)) or _text(error)


def at_the_door(error: BaseException, what: str, tree: Tree) -> ShipperError:
    """As ``translate``, for a connection that was not there before: whoever is closed out may have the wrong door."""
    found = translate(error, what, tree)
    if isinstance(error, kafka.KafkaConnectionError) and error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, EOFError | ConnectionResetError):
        return type(found)(f"{found}: does it expect TLS or SASL here, or none?")
    return found


def for_code(code: int) -> Exception:
    """The exception for the code of a broker's answer, also for one that aiokafka has no class for."""
    error = kafka.for_code(code)()
    if isinstance(error, kafka.UnknownError):
        error.code = code  # in_plain_words tells it
    found: Exception = error
    return found


def _code(error: BaseException) -> int:
    """The code in a broker's answer, of those that aiokafka has no class for; -1: it is none of them."""
    return getattr(error, "code", None) or -1


def _text(error: BaseException) -> str:
    if isinstance(error, kafka.UnknownError):
        return f"the broker answered with an error of its own (code {_code(error)})"
    said = ", ".join(one for one in error.args if isinstance(one, str) and one)  # also objects stand there
    return said or getattr(error, "description", "") or type(error).__name__


class _ToOurLog(logging.Handler):
    """What aiokafka says about failures is raised as an error too, and told there; here it is for developers."""

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            log.warning(record.getMessage(), exc=record.exc_info[1], every=60.0, key=str(record.msg))
        else:
            log.debug(record.getMessage(), logger=record.name)


def quiet_aiokafka() -> None:
    """Take aiokafka's own log lines out of the log; its bugs, which come with a traceback, stay in it."""
    library = logging.getLogger("aiokafka")
    if not any(isinstance(handler, _ToOurLog) for handler in library.handlers):
        library.addHandler(_ToOurLog(logging.WARNING))
        library.propagate = False
