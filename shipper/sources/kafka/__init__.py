"""The ``kafka`` source: topics of a Kafka cluster, as a member of a consumer group.

source     the config
member     the group: what is given to us and back, where to go on, commits
reader     from what was fetched to what is durable
cut        from what was fetched to batches, on a worker thread
unpack     checksums, compression, transactions
records    Kafka's records as payloads
own        those that a sink of shipper wrote, as they were before
position   whose word counts of how far a partition was read
partition  one that is ours now
start      where to begin
client     the way to aiokafka
connect    how that is made, started and stopped
"""

from shipper.sources.kafka.source import KafkaSource

__all__ = ["KafkaSource"]
