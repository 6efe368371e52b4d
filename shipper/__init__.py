"""The public author API of shipper: what a processor may import."""

from typing import TYPE_CHECKING, Any

from shipper.batch import Record
from shipper.chain.decode import decode_json, decode_json_lines, decode_text
from shipper.processor import OnError, Processor

if TYPE_CHECKING:
    from shipper.chain.expression import Condition

__all__ = ["Condition", "OnError", "Processor", "Record", "decode_json", "decode_json_lines", "decode_text"]


def __getattr__(name: str) -> Any:
    if name != "Condition":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from shipper.chain.expression import Condition  # the language is loaded where something is written in it

    return Condition
