"""What the Kafka sink and the Kafka source share. Imported by them alone: an agent without Kafka never loads aiokafka.

settings   brokers, TLS, SASL in a config, and what aiokafka's clients take of them
errors     what aiokafka raises and brokers answer, in our tree of errors
cluster    connections to the brokers of one cluster, and which of them leads a partition
topics     names of topics from labels; topics that are made because the config asks for it
batch      the record batch, Kafka's format version 2
codecs     decompression of batches, with a bound
murmur     the hash by which every client finds a key's partition
"""
