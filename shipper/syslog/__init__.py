"""Syslog without any I/O: messages of RFC 5424 and RFC 3164 as records, and where messages end on a TCP connection.

message   one message -> one record
stamps    its timestamp -> RFC 3339
framing   the bytes of a connection -> messages
"""

from shipper.syslog.framing import Message, SyslogFramer
from shipper.syslog.message import FACILITIES, SEVERITIES, SyslogParser

__all__ = ["FACILITIES", "SEVERITIES", "Message", "SyslogFramer", "SyslogParser"]
