"""The ``syslog`` source.

endpoint     what ``listen`` says: transport, host, port; the sockets
inbox        messages that came in and wait for their batch, within one limit
datagrams    UDP, and what the kernel dropped of it
connections  TCP: all connections of a source, their limits
connection   one of them
tls          TLS of a connection, between its bytes and the framer
source       the config, and the batches

Parsing and framing need no I/O and stand in ``shipper.syslog``.
"""

from shipper.sources.syslog.source import SyslogSource

__all__ = ["SyslogSource"]
