"""The public author API of shipper: what a processor may import."""

from shipper.batch import Record
from shipper.chain.decode import decode_json, decode_json_lines, decode_text
from shipper.chain.expression import Condition
from shipper.processor import OnError, Processor

__all__ = ["Condition", "OnError", "Processor", "Record", "decode_json", "decode_json_lines", "decode_text"]
