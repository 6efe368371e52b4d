"""Archives that were seen and that nobody follows: what is known of each, and when it has to be looked into. No I/O."""

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Literal

from shipper.sources.file.globs import Sighting
from shipper.sources.file.likeness import of_one_log
from shipper.sources.file.rotated import age
from shipper.sources.file.tail import Tail


@dataclass(slots=True)
class Candidate:
    """An archive, as long as it is not written to."""

    sighting: Sighting
    at_end: bool
    status: Literal["", "queued", "growing", "original", "nobody", "plain"] = ""
    """``growing``: not complete; ``original``: what it is made of is there; ``nobody``: it is a generation that is
    followed, or none that is lost, and nobody wants it; ``plain``: it is not compressed."""
    since: float = field(default_factory=time.monotonic)
    """When it was seen first as it is."""
    compared: set[bytes] = field(default_factory=set)
    """The lost generations that it is not."""
    age: tuple[int, int, str] = field(init=False)

    def __post_init__(self) -> None:
        self.age = age(self.sighting)

    @property
    def version(self) -> tuple[int, int]:
        """What changes when it is written to."""
        return version(self.sighting)

    @property
    def wanted(self) -> bool:
        """Whether it is read if it is no generation that is known."""
        return wanted(self.sighting)

    def seen_again(self, sighting: Sighting) -> Sighting:
        """A later sighting of it, with its place among the files of its log, which it keeps until it is judged."""
        if not wanted(sighting) and self.sighting.line:
            return replace(self.sighting, where=sighting.where, info=sighting.info)
        return sighting if sighting.line else replace(sighting, line=self.sighting.line)

    def due(self, lost: Iterable[Tail], patience: float, *, asked: bool) -> bool:
        """Whether there is reason to look into it: somebody has ``asked`` for it since, generations were ``lost`` that
        it may be, or it is still growing after ``patience`` seconds.
        """
        news = asked or any(self.may_be(tail) and tail.generation not in self.compared for tail in lost)
        match self.status:
            case "queued" | "plain":
                return False
            case "growing":
                return news or time.monotonic() - self.since >= patience
            case "nobody":
                return news
            case "" if not news and not self.wanted:
                self.status = "nobody"
                return False
        return True

    def may_be(self, tail: Tail) -> bool:
        """Whether names allow that it holds a generation; without a pattern it has to be in its directory."""
        where = self.sighting.where
        if not of_one_log(where, tail) or not tail.prefix_size:
            return False
        return bool(self.sighting.pattern) or os.path.dirname(where) == os.path.dirname(tail.where)


def version(sighting: Sighting) -> tuple[int, int]:
    """Size and time of modification."""
    return sighting.info.st_size, sighting.info.st_mtime_ns


def wanted(sighting: Sighting) -> bool:
    """Whether an archive is read if it is no generation that is known."""
    return bool(sighting.pattern or sighting.line)
