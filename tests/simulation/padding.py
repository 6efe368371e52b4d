"""A processor for simulated nodes."""

import hashlib
from typing import NamedTuple

from shipper.batch import Record
from shipper.processor import Processor


class Pad(Processor):
    """Gives records something that cannot be compressed much, so that not all of a batch fit into one frame."""

    def process(self, record: Record) -> Record:
        """See ``Processor``."""
        message, pad = str(record["message"]), str(record.get("pad", ""))
        size = 2000 if message[-1] in "0123" else 10
        return {**record, "pad": pad + hashlib.shake_128((pad + message).encode()).hexdigest(size)}


class Step(NamedTuple):
    name: str
    processor: Processor
