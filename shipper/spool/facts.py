"""What the entries of a log add up to: the state by key, and how much of each upstream stream is here."""

from typing import Final

from shipper.batch import Upstream
from shipper.spool.body import CursorValue, GapNote, Mark, Snapshot
from shipper.spool.upstream import mark_after, outdated, renew


class Facts:
    """Those of one log. What a group changes becomes true, or never was, with the sync of the group."""

    def __init__(self, state: dict[str, bytes], marks: dict[bytes, Mark]) -> None:
        """Go on from what is durable."""
        self.state: Final = state
        self.held: Final = dict(marks)
        """How much of each upstream stream is durable."""
        self._marks = marks
        """The same, with the group."""
        self._changes: list[dict[str, bytes | None]] = []
        self._moved: dict[bytes, Mark] = {}

    def mark(self, stream: bytes) -> Mark | None:
        """How much of an upstream stream is here, the group included."""
        return self._marks.get(stream)

    def add(self, state: dict[str, bytes | None], upstream: Upstream | None, gap: GapNote | None) -> None:
        """Take a draft's changes into the group."""
        self._changes.append(state)
        if upstream is not None:
            self._moved[upstream.stream] = mark_after(upstream, gap)
            renew(self._marks, upstream.stream, self._moved[upstream.stream])

    def confirm(self) -> None:
        """The group is durable."""
        for changes in self._changes:
            for key, value in changes.items():
                if value is None:
                    self.state.pop(key, None)
                else:
                    self.state[key] = value
        self.held.update(self._moved)
        self._changes, self._moved = [], {}

    def revoke(self) -> None:
        """The group never was."""
        for stream in self._moved:
            if stream in self.held:
                self._marks[stream] = self.held[stream]
            else:
                del self._marks[stream]
        self._changes, self._moved = [], {}

    def snapshot(self, cursors: dict[str, CursorValue], epochs: list[tuple[int, int]]) -> Snapshot:
        """What is durable, for a new segment's beginning; the oldest marks beyond those that are kept are forgotten."""
        for stream in outdated(self._marks):
            del self._marks[stream]
            self.held.pop(stream, None)
        held = {stream: self.held[stream] for stream in self._marks if stream in self.held}
        return Snapshot(self.state, held, cursors, epochs)
