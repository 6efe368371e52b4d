"""What the entries of a log add up to: the state by key, how much of each upstream stream is here, and the ledger."""

from typing import TYPE_CHECKING, Final

from shipper.ledger.book import Book
from shipper.spool.body import CursorValue, Mark, Snapshot
from shipper.spool.draft import EntryDraft
from shipper.spool.ledger_news import News, of_draft
from shipper.spool.upstream import outdated, renew

if TYPE_CHECKING:
    from shipper.ledger.changes import Changes


class Facts:
    """Those of one log. What a group changes becomes true, or never was, with the sync of the group."""

    def __init__(self, state: dict[str, bytes], marks: dict[bytes, Mark], ledger: Book) -> None:
        """Go on from what is durable."""
        self.state: Final = state
        self.ledger: Final = ledger
        self.changes: Changes | None = None
        self.held: Final = dict(marks)
        """How much of each upstream stream is durable."""
        self._marks = marks
        """The same, with the group."""
        self._changes: list[dict[str, bytes | None]] = []
        self._moved: dict[bytes, Mark] = {}
        self._news: list[News] = []

    def follow(self) -> "Changes":
        """Have changes in the ledger told, from the opening on. Called before ``begin``."""
        from shipper.ledger.changes import Changes  # what only collectors need

        self.ledger.left = self.ledger.left or []
        self.changes = Changes(self.ledger)
        return self.changes

    def begin(self) -> None:
        """From here on entries are written."""
        if self.changes is None:
            self.ledger.left = None  # nobody takes them

    def mark(self, stream: bytes) -> Mark | None:
        """How much of an upstream stream is here, the group included."""
        return self._marks.get(stream)

    def add(self, draft: EntryDraft, seq: int) -> None:
        """Take the changes of a draft, whose first frame has the number ``seq``, into the group."""
        moved = draft.moved
        self._changes.append(draft.state)
        self._news.append(of_draft(draft, seq, self._marks.get(moved[0]) if moved is not None else None))
        if moved is not None:
            stream, self._moved[stream] = moved
            renew(self._marks, *moved)

    def confirm(self) -> None:
        """The group is durable."""
        for changes in self._changes:
            for key, value in changes.items():
                if value is None:
                    self.state.pop(key, None)
                else:
                    self.state[key] = value
        self.held.update(self._moved)
        changed = None if self.changes is None else self.changes.keys
        for news in self._news:
            news.enter(self.ledger, changed)
        if self.changes is not None:
            self.changes.bound()
        self._changes, self._moved, self._news = [], {}, []

    def revoke(self) -> None:
        """The group never was."""
        for stream in self._moved:
            if stream in self.held:
                self._marks[stream] = self.held[stream]
            else:
                del self._marks[stream]
        self._changes, self._moved, self._news = [], {}, []

    def snapshot(self, cursors: dict[str, CursorValue], epochs: list[tuple[int, int]]) -> Snapshot:
        """What is durable, for a new segment's beginning; the oldest marks beyond those that are kept are forgotten."""
        for stream in outdated(self._marks):
            del self._marks[stream]
            self.held.pop(stream, None)
            self.ledger.breaks.pop(stream, None)
        held = {stream: self.held[stream] for stream in self._marks if stream in self.held}
        return Snapshot(self.state, held, cursors, epochs, ledger=self.ledger)
