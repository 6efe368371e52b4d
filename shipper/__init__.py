"""The public author API of shipper: what a processor may import."""

from typing import TYPE_CHECKING, Any

from shipper.batch import Record
from shipper.chain.decode import decode_json, decode_json_lines, decode_text
from shipper.errors import PatternTimeout
from shipper.log import get_logger
from shipper.processor import OnError, Processor
from shipper.units import ByteSize, Duration

if TYPE_CHECKING:
    from shipper.chain.expression import Condition
    from shipper.patterns import Pattern
    from shipper.syslog import SyslogParser

__all__ = [
    "ByteSize",
    "Condition",
    "Duration",
    "OnError",
    "Pattern",
    "PatternTimeout",
    "Processor",
    "Record",
    "SyslogParser",
    "decode_json",
    "decode_json_lines",
    "decode_text",
    "get_logger",
]


def __getattr__(name: str) -> Any:
    if name == "Condition":
        from shipper.chain.expression import Condition  # the language is loaded where something is written in it

        return Condition
    if name == "Pattern":
        from shipper.patterns import Pattern  # and so are regular expressions with a deadline

        return Pattern
    if name == "SyslogParser":
        from shipper.syslog import SyslogParser  # for those who parse syslog

        return SyslogParser
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
