"""Whose turn a number of a stream is, when several collectors write one sender's stream: deliver, pass over, claim.

Sans-IO: what stands in the cursor topic is told, what must be written there is asked for. The same code runs against a
broker and against a log in memory (tests/sinks/kafka/test_ownership_model.py).

The rules
1. Claims of a stream are ordered by (generation, transactional id); the greatest holds. A claim's generation is one
   more than any that its writer saw. Each process has one of a stream, under a key of its own, so that compaction takes
   away nothing that somebody has to know.
2. A stream is owned by a process that claimed it in its own life, and then fenced every other one with a claim that
   nobody is known to have fenced: first its claim stands in the topic, then it fences, then it reads how far the stream
   is. Whoever was fenced begins again by reading the topic to its end, and finds the greater claim there.
3. An owner delivers a number only in its turn: when it is the stream's cursor. A lower one is there already. A higher
   one is passed over, like all of a stream that is not owned: its sender keeps it, and sends it again to the one who
   claims.
4. The parts of one number are delivered together. A number that misses a part (the spool is damaged) is passed over.
5. An item without a sender's number belongs to this process alone, and counts by the hop's own.
"""

from collections.abc import Iterable
from typing import Final

import msgspec

from shipper.sinks.base import Frame, Item, Sent
from shipper.sinks.kafka.cursors import Claim, Cursor

_NOTHING: Final = Cursor(next=0)


class Ownership:
    """What one sink of one process knows of the streams, and what it may write. Belongs to one task."""

    def __init__(self) -> None:
        self._me = ""
        self._own = b""
        self._start = _NOTHING
        self._claims: dict[bytes, dict[str, Claim]] = {}
        self._cursors: dict[bytes, Cursor] = {}
        self._begun: dict[bytes, tuple[int, dict[str, int]]] = {}
        """Claims on their way: the generation, and whom of which generation it has to fence."""
        self._owned: dict[bytes, int] = {}
        """Streams claimed in this life, with the generation."""
        self._floors: dict[bytes, int] = {}
        """Where the senders of the owned ones go on, at least."""
        self._passed: dict[bytes, int] = {}
        """The number after the last one that was passed over, though it was not there."""
        self._settled: dict[bytes, Claim] = {}
        """Claims to be written again, with whom they fenced."""
        self._riding: dict[bytes, Claim] = {}
        """Those of them in the open transaction."""
        self._moved: dict[bytes, Cursor] = {}
        """Cursors as the open transaction leaves them."""
        self._parts: list[Item] = []
        """Of a number that is not whole yet."""
        self._check = 0
        self.reached = 0
        """The hop's number after all that was taken, and is to be delivered or was passed over."""

    def begin_again(self, me: str, own: bytes, start: Cursor) -> None:
        """The connection is a new one, and with it the transaction; the topic was read to its end.

        ``me``: the own transactional id; ``own``: the stream id of this hop; ``start``: its epoch and incarnation, and
        the number from which on its items come (again).
        """
        if me != self._me:
            self._owned.clear()
            self._settled.clear()
        self._me, self._own, self._start = me, own, start
        self._begun.clear()
        self._riding.clear()
        self._moved.clear()
        self._parts.clear()
        self._check = start.original_check
        self.reached = start.next

    # What the topic says: committed records, those of one key in the order of the topic

    def cursor_read(self, stream: bytes, cursor: Cursor) -> None:
        """A stream moved."""
        if cursor.next >= self._cursors.get(stream, _NOTHING).next:
            self._cursors[stream] = cursor

    def claim_read(self, stream: bytes, owner: str, claim: Claim) -> None:
        """A stream was claimed, or its claim says now whom it fenced."""
        self._claims.setdefault(stream, {})[owner] = claim

    def cursor(self, stream: bytes) -> Cursor:
        """How far a stream is known to be there."""
        cursor = self._cursors.get(stream, _NOTHING)
        floor = self._floors.get(stream, 0)
        return cursor if cursor.next >= floor else Cursor(next=floor)

    # Claims

    def owns(self, stream: bytes) -> bool:
        """The stream was claimed here, and by nobody else since, as far as the topic was read."""
        generation = self._owned.get(stream)
        return generation is not None and self._holds(stream, generation)

    def has_all(self, stream: bytes) -> bool:
        """Of an owned stream nothing was passed over that is not there."""
        return self._passed.get(stream, 0) <= self.cursor(stream).next

    def begin(self, stream: bytes) -> Claim:
        """The claim to be written. The topic was read to its end, or another claim may turn out to be greater."""
        claims = self._claims.get(stream, {})
        generation = 1 + max((claim.generation for claim in claims.values()), default=0)
        # What the claim before this one said, and no other does: each stands there once, or claims would grow with the
        # square of the collectors.
        known = {owner: claim.generation for owner, claim in claims.items() if self._is_fenced(stream, owner)}
        fenced = {owner: held for owner, held in known.items() if not self._is_fenced(stream, owner, but=self._me)}
        self._begun[stream] = generation, {}
        self._settled.pop(stream, None)
        return Claim(generation=generation, fenced=fenced)

    def to_fence(self, stream: bytes, undecided: Iterable[str] = ()) -> frozenset[str]:
        """The transactional ids to be fenced, now that the claim is committed and the topic was read to its end.

        ``undecided``: the ids with a claim of the stream that may still be committed.
        """
        generation, fence = self._begun[stream]
        if not self._holds(stream, generation):
            return frozenset()  # ``settle`` says so
        for owner, claim in self._claims[stream].items():
            if owner != self._me and not self._is_fenced(stream, owner):
                fence[owner] = claim.generation
        return frozenset({*fence, *undecided} - {self._me})

    def settle(self, stream: bytes, floor: int) -> bool:
        """Own the stream from now on: those are fenced, and the topic was read to its end after that.

        ``floor``: the stream's sender sends nothing before it. False: another claim is greater.
        """
        generation, fenced = self._begun.pop(stream)
        if not self._holds(stream, generation):
            return False
        claim = self._claims[stream][self._me]
        self._settled[stream] = msgspec.structs.replace(claim, fenced=claim.fenced | fenced)
        self._owned[stream] = generation
        self.goes_on(stream, floor)
        return True

    def goes_on(self, stream: bytes, floor: int) -> None:
        """The sender of an owned stream sends again all that is not there, and nothing before ``floor``."""
        self._floors[stream] = max(floor, self._floors.get(stream, 0))
        self._passed.pop(stream, None)

    def _holds(self, stream: bytes, generation: int) -> bool:
        claims = self._claims.get(stream, {})
        greatest = max(((claim.generation, owner) for owner, claim in claims.items()), default=None)
        return greatest == (generation, self._me)

    def _is_fenced(self, stream: bytes, owner: str, *, but: str = "") -> bool:
        """Somebody fenced the owner after its claim, and after a greater one, stood in the topic. ``but``: whose word
        does not count.
        """
        claims = self._claims[stream]
        held = claims[owner].generation
        return any(claim.fenced.get(owner, 0) >= held for teller, claim in claims.items() if teller != but)

    # Deliveries

    def take(self, item: Item) -> list[Item]:
        """The items to deliver now that this one came: none, itself, or all parts of its number.

        Every item comes here, in the order of the hop.
        """
        sent, parts = item.upstream, self._parts
        if parts and (sent is None or sent.part != len(parts) or _place(parts[0].upstream) != _place(sent)):
            self._pass_over(parts[0].upstream)  # the rest of it is lost
            parts.clear()
        if sent is not None and sent.mark is None and sent.part == len(parts):
            parts.append(item)
            return []
        whole = [*parts, item]
        parts.clear()
        self.reached = item.next
        self._check = item.body.original_check if isinstance(item.body, Frame) else 0
        return self._turn(sent, whole) if sent is not None else self._own_turn(item)

    def _turn(self, sent: Sent, whole: list[Item]) -> list[Item]:
        mark, first, expected = sent.mark, sent.first, self._expected(sent.stream)
        its_turn = self.owns(sent.stream) and first <= expected < sent.next
        if mark is None or len(whole) <= sent.part or not its_turn:
            self._pass_over(sent)
            return []
        self._moved[sent.stream] = Cursor(
            next=mark.next,
            epoch=mark.epoch,
            incarnation=mark.incarnation,
            check=mark.crc,
            original_check=mark.original_crc,
        )
        return whole

    def _own_turn(self, item: Item) -> list[Item]:
        if item.next <= self._expected(self._own):
            return []
        self._moved[self._own] = self._reached()
        return [item]

    def _expected(self, stream: bytes) -> int:
        return (self._moved.get(stream) or self.cursor(stream)).next

    def _pass_over(self, sent: Sent | None) -> None:
        if sent is not None and sent.next > self._expected(sent.stream):
            self._passed[sent.stream] = max(sent.next, self._passed.get(sent.stream, 0))

    # Transactions

    def moves(self) -> dict[bytes, Cursor]:
        """The cursors that the transaction with what was taken has to write; empty: there was nothing to deliver."""
        return {**self._moved, self._own: self._reached()} if self._moved else {}

    def settled(self) -> dict[bytes, Claim]:
        """Own claims that the transaction should write, so that nobody fences in vain."""
        self._riding = dict(self._settled)
        return self._riding

    def committed(self) -> None:
        """The transaction is. (After any other end: ``begin_again``.)"""
        for stream, cursor in self.moves().items():
            self.cursor_read(stream, cursor)
        for stream, claim in self._riding.items():
            self.claim_read(stream, self._me, claim)
            if self._settled.get(stream) is claim:
                del self._settled[stream]
        self._moved.clear()
        self._riding.clear()

    def _reached(self) -> Cursor:
        return msgspec.structs.replace(self._start, next=self.reached, check=self._check, original_check=self._check)


def _place(sent: Sent | None) -> tuple[bytes, int] | None:
    return None if sent is None else (sent.stream, sent.first)
