"""What the catalog takes for known, by the number of a file alone and by more."""

from pathlib import Path

import pytest
from support.following import append

from shipper.sources.file.catalog import Catalog
from shipper.sources.file.doubts import Looked
from shipper.sources.file.examine import Found, examine, look_at, seek
from shipper.sources.file.globs import Globs, Sighting
from shipper.sources.file.identity import open_regular
from shipper.sources.file.schedule import AWAY, IDLE, READY, RESTING
from shipper.sources.file.tail import Tail

STAGES = pytest.mark.parametrize("stage", [AWAY, READY, RESTING, IDLE], ids=["away", "ready", "resting", "idle"])


def closed(folder: Path, stage: int, name: str = "app.log") -> tuple[Catalog, Tail, Sighting]:
    """A catalog with one tail that is closed, and has a number by which another use of its inode number is told."""
    path = folder / name
    append(path, b"one")
    catalog = Catalog(Globs([str(folder / "*.log")]), {}, {}, "beginning")
    descriptor, info = open_regular(str(path))
    tail = Tail(str(path), {})
    tail.adopt(descriptor, info, str(path))
    sighting = Sighting(str(path), str(path), info, str(folder / "*.log"))
    tail.fix()
    assert catalog.claim(Found(sighting, tail, info=info)) is tail
    tail.close()
    tail.version, tail.stage = 7, stage
    return catalog, tail, sighting


@STAGES
def test_inode_reuse_by_a_file_that_was_renamed_before_it_was_seen(tmp_path: Path, stage: int) -> None:
    """It is not known, whatever the closed tail waits for whose number it has; the tail is a stray."""
    catalog, tail, sighting = closed(tmp_path, stage)
    assert catalog.find_moved(Looked(sighting.info, 7), sighting.where, 1)
    assert not catalog.find_moved(Looked(sighting.info, 8), sighting.where, 1)
    assert not catalog.claimed(tail)


@STAGES
def test_inode_reuse_by_a_file_under_a_path_that_is_meant(tmp_path: Path, stage: int) -> None:
    """A file that changed and is another one by its number is not linked to the closed tail, but examined."""
    catalog, tail, sighting = closed(tmp_path, stage)
    append(Path(sighting.where), b"more")
    (found,) = look_at([sighting.where]).values()
    scan = catalog.globs.scan()
    assert catalog.doubtful(scan) == ([] if stage == IDLE else [sighting.where])
    catalog.settle_doubts({sighting.where: found._replace(version=8)})
    seen, unknown = catalog.link(scan, {})
    assert not seen
    assert [other.where for other in unknown] == [sighting.where]
    assert not catalog.claimed(tail)


def test_inode_reuse_noticed_when_the_new_file_is_claimed(tmp_path: Path) -> None:
    """The closed tail that has its number was another file: the new one is followed."""
    catalog, tail, sighting = closed(tmp_path, RESTING)
    descriptor, info = open_regular(sighting.where)
    new = Tail(sighting.path, {})
    new.adopt(descriptor, info, sighting.where)
    new.version = 8
    assert catalog.claim(Found(sighting, new, info=info)) is new
    assert catalog.claimed(new)
    assert not catalog.claimed(tail)
    new.close()


WAITING = pytest.mark.parametrize("stage", [READY, RESTING, IDLE], ids=["ready", "resting", "idle"])


def written_anew(sighting: Sighting, data: bytes) -> Sighting:
    """Another file with the inode number of a deleted one, as far as a file system without a count of uses tells."""
    Path(sighting.where).write_bytes(data)
    return Sighting(sighting.path, sighting.where, Path(sighting.where).stat(), sighting.pattern)


@WAITING
@pytest.mark.parametrize("counted", [True, False], ids=["no count now", "never a count"])
def test_inode_reuse_where_nobody_counts_uses_is_seen_by_the_first_bytes(
    tmp_path: Path, stage: int, counted: bool
) -> None:
    """A renamed file that begins otherwise is not known; one that begins as the closed tail's, and goes on, is."""
    catalog, tail, sighting = closed(tmp_path, stage)
    tail.version = 7 if counted else 0
    assert catalog.find_moved(Looked(sighting.info, 0, b"one\n"), sighting.where, 1)
    if stage != IDLE:
        again = written_anew(sighting, b"one\nmore\n")
        assert catalog.find_moved(Looked(again.info, 0, b"one\nmore\n"), sighting.where, 1)
    again = written_anew(sighting, b"two\n")
    assert not catalog.find_moved(Looked(again.info, 0, b"two\n"), sighting.where, 1)
    assert not catalog.claimed(tail)


@WAITING
def test_inode_reuse_where_nobody_counts_uses_under_a_path_that_is_meant(tmp_path: Path, stage: int) -> None:
    """The file is examined as a new one."""
    catalog, tail, sighting = closed(tmp_path, stage)
    tail.version = 0
    written_anew(sighting, b"two\nthree\n")
    scan = catalog.globs.scan()
    found = look_at(catalog.doubtful(scan))
    catalog.settle_doubts({place: looked._replace(version=0) for place, looked in found.items()})
    seen, unknown = catalog.link(scan, {})
    assert not seen
    assert [other.where for other in unknown] == [sighting.where]
    assert not catalog.claimed(tail)


@WAITING
def test_inode_reuse_where_nobody_counts_uses_noticed_when_the_new_file_is_claimed(tmp_path: Path, stage: int) -> None:
    """By what was read when it was examined."""
    catalog, tail, sighting = closed(tmp_path, stage)
    again = written_anew(sighting, b"two\n")
    (found,) = examine([again], {}, (), {})
    assert found.tail is not None
    found.tail.version = 0
    assert catalog.claim(found) is found.tail
    assert not catalog.claimed(tail)
    found.tail.close()


def test_a_file_that_a_worker_reads_is_not_doubted_by_its_first_bytes(tmp_path: Path) -> None:
    """They may be written down just now; the worker verifies what it opens."""
    catalog, tail, sighting = closed(tmp_path, AWAY)
    assert catalog.find_moved(Looked(sighting.info, 0, b"two\n"), sighting.where, 1)
    assert catalog.claimed(tail)


def test_a_file_that_cannot_be_opened_is_not_doubted(tmp_path: Path) -> None:
    """Nothing is known of it but its number."""
    catalog, tail, sighting = closed(tmp_path, RESTING)
    assert catalog.find_moved(Looked(sighting.info), sighting.where, 1)
    assert catalog.claimed(tail)


@STAGES
def test_inode_reuse_by_a_file_beside_is_found_out_before_siblings_are_looked_for(tmp_path: Path, stage: int) -> None:
    """A closed tail that was not sighted is looked for first: it is known no longer where another file has its number,
    so nothing keeps that one from being taken for a sibling or a copy.
    """
    catalog, tail, sighting = closed(tmp_path, stage)
    Path(sighting.where).rename(tmp_path / "app.log.1")
    (tmp_path / "app.log.1").write_bytes(b"another\n")
    catalog.link(catalog.globs.scan(), {})
    assert sighting.file in catalog.files()
    (sought,) = seek([(tail, True)])
    assert (sought.place, sought.unknown) == (None, False)
    assert not catalog.found_again(sought)
    catalog.unclaim(tail)  # as discovery does with what is nowhere
    assert sighting.file not in catalog.files()
