"""Constants of the protocol, and how gRPC is set up on both sides.

Import grpc through this module only: some of its settings are read from the environment at its first import.
"""

import os
from typing import Any, Final

from shipper.wire import strangers

# shipper never forks after start; the fork handlers would only cost time and print warnings.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")

# gRPC's core writes to stderr on its own, past every log setting ("Failed to add port to server ..."). What matters
# comes back as an exception or is read by strangers.py. Who sets GRPC_VERBOSITY or GRPC_TRACE gets the noise.
with strangers.listened_to():
    import grpc  # it reads its settings here
    from grpc import aio

PROTOCOL: Final = 1
"""The protocol version of ingest.proto."""
METHOD: Final = "/shipper.v1.Ingest/Ship"
MAX_FRAME_BYTES: Final = 4 * 1024 * 1024
"""Every collector takes frames of this length."""
MAX_MESSAGE_BYTES: Final = MAX_FRAME_BYTES + 64 * 1024
"""A message may hold one frame of the largest length and what the encoding adds."""
MAX_HELLO_BYTES: Final = 64 * 1024
"""A Hello is kept as long as its connection lives."""
MAX_METADATA_BYTES: Final = 8 * 1024
"""All headers of a call."""
ACK_INTERVAL: Final = 5.0
"""Seconds: a collector sends an Ack at least so often."""
ACK_DEADLINE: Final = 15.0
"""Seconds: a sender that saw no Ack for so long gives the channel up."""

_KEEPALIVE: Final[list[tuple[str, Any]]] = [
    # Pings find a dead transport also while it has unsent data (they set TCP_USER_TIMEOUT); the Ack deadline finds a
    # dead application. The timeout covers a link that is slow, not dead.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.http2.max_pings_without_data", 0),
]

CHANNEL_OPTIONS: Final[list[tuple[str, Any]]] = [
    *_KEEPALIVE,
    # Subchannels are shared in the process by default: a new channel would get the half-dead connection of the old
    # one back, or its reconnect backoff (up to 120 s) on top of ours.
    ("grpc.use_local_subchannel_pool", 1),
    # Retries keep a copy of what was written. A stream with acknowledgements repeats by itself.
    ("grpc.enable_retries", 0),
    # Addresses are connected to as they are written, whatever HTTP_PROXY says about web traffic.
    ("grpc.enable_http_proxy", 0),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    # A bandwidth probe answers each Ack with a ping and wakes gRPC's threads for it. It would size the room for what a
    # sender receives, and that is Acks.
    ("grpc.http2.bdp_probe", 0),
]

SERVER_OPTIONS: Final[list[tuple[str, Any]]] = [
    *_KEEPALIVE,
    # On by default: a second collector would start without an error and silently take half of the connections.
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 5_000),
    # gRPC sizes its read-ahead by bandwidth probes, to 4 MiB a connection and more. That is memory which a peer fills
    # while nobody reads (the receive budget is used up). 256 KiB cost no throughput: the window opens for a message
    # that is being read, whatever its length.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.http2.lookahead_bytes", 256 * 1024),
    # Without these a peer that connects and says nothing stays for two minutes, or for ever. A sender makes its call
    # at once and keeps it: a connection without one is idle.
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.http2.settings_timeout", 10_000),
    ("grpc.max_connection_idle_ms", 10_000),
    # One call is one connection; a second one is room for the end of the first.
    ("grpc.max_concurrent_streams", 2),
    ("grpc.max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
    # Frames are compressed. A message that gRPC would have to decompress is refused: no bombs on this level.
    ("grpc.compression_enabled_algorithms_bitset", 1),
    # What they remember of each connection is memory that strangers would fill: 4 KiB each, and nobody reads it.
    ("grpc.enable_channelz", 0),
    ("grpc.max_channel_trace_event_memory_per_node", 0),
]

__all__ = [
    "ACK_DEADLINE",
    "ACK_INTERVAL",
    "CHANNEL_OPTIONS",
    "MAX_FRAME_BYTES",
    "MAX_HELLO_BYTES",
    "MAX_MESSAGE_BYTES",
    "METHOD",
    "PROTOCOL",
    "SERVER_OPTIONS",
    "aio",
    "grpc",
]
