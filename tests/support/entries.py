"""The entries of a spool, as its segments hold them."""

from collections.abc import Iterator

from shipper.spool.disk import Disk
from shipper.spool.recovery import is_segment_file
from shipper.spool.scan import SegmentReader
from shipper.spool.segment import HEADER_SIZE, Entry, SegmentHeader
from shipper.spool.tail import walk


def entries_on(disk: Disk) -> Iterator[Entry]:
    """All that can be read, in order."""
    for name in filter(is_segment_file, disk.names()):
        file = disk.open(name)
        header = SegmentHeader.decode(file.read(HEADER_SIZE, 0), name)
        yield from (part for part in walk(SegmentReader(file, header), disk.size(name)) if isinstance(part, Entry))
        file.close()
