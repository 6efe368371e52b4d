"""What the spool says of frames whose sender keeps them until they are delivered, and how such a stream comes again."""

from support.simdisk import SimDisk
from support.spool_model import frame_of, upstream_frame

from shipper.batch import Upstream
from shipper.sinks.base import Gap, Item, Sent
from shipper.spool.body import GapNote, Mark
from shipper.spool.draft import EntryDraft
from shipper.spool.files import segment_name
from shipper.spool.store import Store
from shipper.spool.upstream import DUPLICATE

OTHER = b"upstream-stream1"


def store_on(disk: SimDisk) -> Store:
    """A spool with one sink."""
    return Store(disk, 2 * 1024 * 1024, 1 << 20, ["a"])


def upstream(seq: int) -> Upstream:
    """A number that its sender keeps."""
    return Upstream(OTHER, seq, 3, b"i" * 16, 70 + seq, original_crc=90 + seq, kept=True)


def kept(seq: int) -> EntryDraft:
    """A frame of that number, as it came."""
    return EntryDraft([upstream_frame(OTHER, seq, seq, 10)], upstream=upstream(seq))


def mark(after: int) -> Mark:
    """How far the stream is with number ``after - 1``."""
    return Mark(after, 3, b"i" * 16, 70 + after - 1, 90 + after - 1)


def sent_of(store: Store) -> list[Sent | None]:
    """Whose numbers the sink's items are."""
    return [item.upstream for item in items_of(store)]


def items_of(store: Store) -> list[Item]:
    """All that the sink has not acknowledged."""
    reader = store.reader(lambda _damage: None)
    value = store.log.cursors["a"].value
    reader.seek(value.position, value.seq, value.lost)
    items = []
    while (read := reader.step()) is not None:
        items += [read.item] if read.item else []
    return items


def test_an_item_says_which_number_of_its_sender_it_is() -> None:
    store = store_on(SimDisk())
    store.commit([kept(0), EntryDraft([frame_of(1, 10)]), kept(1)])
    assert sent_of(store) == [Sent(OTHER, 0, mark(1)), None, Sent(OTHER, 1, mark(2))]


def test_a_number_that_became_several_frames_ends_with_the_last_one() -> None:
    store = store_on(SimDisk())
    store.commit([EntryDraft([frame_of(part, 10) for part in range(3)], upstream=upstream(0))])
    assert sent_of(store) == [Sent(OTHER, 0, None, 0), Sent(OTHER, 0, None, 1), Sent(OTHER, 0, mark(1), 2)]


def test_a_gap_begins_where_the_stream_was() -> None:
    store = store_on(SimDisk())
    gap = GapNote(OTHER, 0, 4, 5, "disk")
    store.commit([kept(0), EntryDraft(upstream=upstream(0), gap=gap)])
    assert [one and (one.first, one.next) for one in sent_of(store)] == [(0, 1), (1, 5)]


def test_what_was_acknowledged_when_it_was_durable_counts_as_the_hops_own() -> None:
    store = store_on(SimDisk())
    gone = Upstream(OTHER, 0, 1, bytes(16), 0)
    store.commit([EntryDraft([upstream_frame(OTHER, 0, 0, 10)], upstream=gone)])
    assert sent_of(store) == [None]


def test_a_frame_that_cannot_be_read_is_no_number_of_its_sender() -> None:
    disk = SimDisk()
    store = store_on(disk)
    store.commit([kept(0), kept(1)])
    name = segment_name(max(store.log.segments))
    file = disk.open(name, write=True)
    raw = upstream_frame(OTHER, 1, 1, 10).raw
    at = file.read(disk.size(name), 0).index(raw)
    file.write([b"\xff" * 8], at + 20)
    store.close()
    found = items_of(store_on(disk))
    assert isinstance(found[1].body, Gap)
    assert [item.upstream for item in found] == [Sent(OTHER, 0, mark(1)), None]


def test_a_stream_comes_again_from_a_lowered_mark() -> None:
    disk = SimDisk()
    store = store_on(disk)
    lowered = Mark(1, 4, b"j" * 16, 0)
    outcomes = store.commit([kept(0), kept(1), kept(2), EntryDraft(lowered=(OTHER, lowered))])
    assert outcomes == [1, 2, 3, 4], "a lowered mark takes no number"
    assert store.log.held[OTHER] == lowered
    store.close()
    store = store_on(disk)
    assert store.log.held[OTHER] == lowered
    assert store.commit([kept(0), kept(1), kept(2), kept(1)]) == [DUPLICATE, 4, 5, DUPLICATE]
    assert [one and one.first for one in sent_of(store)] == [0, 1, 2, 1, 2]
