"""The Kafka sink.

sink        config
partition   which key a record has, and which partition that is
headers     what messages say about themselves
records     frames to record batches, on a thread
session     the default mode, at least once: from items that are handed over to acknowledgements
destinations  which topic a frame goes to, and whether that is there
producer    batches to the brokers, in order
flight      what is on its way, and acknowledging it in order

exactly_once  the other mode: transactions of records and of how far their streams are
opening       whether a cursor is this spool's
transactions  one transactional id at the brokers
cursor_topic  reading the topic of the cursors
transcript    which of its records are committed
cursors       its format
books         what is known from it, and what is written to it
ownership     whose turn a number of a sender's stream is
together      steps at the same time that end together
claims        taking senders' streams over from other collectors
"""

from shipper.sinks.kafka.sink import KafkaSink

__all__ = ["KafkaSink"]
