"""Replay: dead letters go through the chain once more, as it is now, while the process runs.

    {"command": "replay", "letters": [[FILE NUMBER, START, ID] ...], "as": SOURCE, "every_sink": BOOL,
     "files": [FILE NUMBER ...]}         ->  {"ok": true, "job": N, "done": BOOL, "replayed": ..., ...}
    {"command": "replay", "job": N}      ->  the same, once it is done or 20 seconds have passed

- Letters go as batches into the intake of the source that read them: through its chain, in its turn. Those that had
  been through a chain (of a sink, or too large for a frame) go into the spool as they are.
- Exactly once: see spool/replayed.py. One batch at a time; what is struck out or in the list is not replayed again, so
  requests may be repeated, overlap, and be cut short.
- A record that fails again is a new letter, made durable in the same entry that ends the old one.
- A source range of a replayed record ends where it starts: it covers no bytes, those were counted when they were read.
- Those of ``files`` in which nothing is left are removed. To find that out all of a file is read: it is asked for last.
"""

import asyncio
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from shipper.batch import DeadLetter
from shipper.errors import ControlError, ShipperError
from shipper.letter_batches import Group, batch_of, group_of, parts
from shipper.log import get_logger
from shipper.pack import entry_of
from shipper.spool import replayed
from shipper.spool.dead_letters import FOLDER, STRUCK, Place, stream_of
from shipper.spool.draft import EntryDraft
from shipper.spool.inspect import LookingDisk
from shipper.spool.letters import Letter, id_of, letter_at

if TYPE_CHECKING:
    from shipper.config import Config
    from shipper.metrics import Registry
    from shipper.spool.spool import Spool
    from shipper.supervise import Sources

_PATIENCE: Final = 20.0
"""Seconds until a request is answered whose letters are not through yet: who asks waits for 60."""
_AT_ONCE: Final = 256
_BYTES: Final = 1 << 20
"""At most so many letters, of about so many bytes, are in memory at a time."""
_JOBS: Final = 16
"""So many are remembered for those who ask."""
log = get_logger("replay")


class Request(msgspec.Struct, forbid_unknown_fields=True):
    """What a command asks for."""

    command: str
    letters: list[tuple[int, int, str]] = []
    as_source: str | None = msgspec.field(default=None, name="as")
    every_sink: bool = False
    files: list[int] = []
    job: int | None = None


class Outcome(msgspec.Struct):
    """What became of the letters of a request."""

    replayed: int = 0
    failed: int = 0
    """New dead letters that came of it."""
    already: int = 0
    """They had been replayed, or their file was removed."""
    refused: list[tuple[str, str]] = []
    """Letters that stay, each with the reason."""
    trouble: str = ""
    """Why it ended early."""


class Replays:
    """Those of one process."""

    def __init__(self, config: "Config", spool: "Spool", sources: "Sources", metrics: "Registry") -> None:
        self.replayed = 0
        """Letters replayed since the start."""
        self._root: Final = Path(config.data_dir / "spool")
        self._sinks = list(config.sinks)
        self._spool = spool
        self._sources = sources
        self._metrics = metrics
        self._turn = asyncio.Lock()
        self._jobs: dict[int, asyncio.Task[Outcome]] = {}
        self._count = 0
        self._stopping = False

    def stop(self) -> "list[asyncio.Task[Outcome]]":
        """Take no more requests; what is under way is to be cancelled before the chains go."""
        self._stopping = True
        return [job for job in self._jobs.values() if not job.done()]

    async def handle(self, command: dict[str, Any]) -> dict[str, Any]:
        """The command ``replay``.

        :raises ControlError: the request is none, or the process is stopping.
        """
        try:
            request = msgspec.convert(command, Request)
        except msgspec.ValidationError as error:
            raise ControlError(f"no request to replay: {error}") from error
        if self._stopping:
            raise ControlError("the process is stopping; replay once it runs again")
        number = self._begin(request) if request.job is None else request.job
        job = self._jobs.get(number)
        if job is None:
            raise ControlError(f"there is no replay {number}")
        await asyncio.wait({job}, timeout=_PATIENCE)
        if not job.done():
            return {"job": number, "done": False, "waits_for": self._spool.blocked_by or ""}
        if job.cancelled():
            raise ControlError("the process is stopping; replay the rest once it runs again")
        return {"job": number, "done": True, **msgspec.to_builtins(job.result())}

    def _begin(self, request: Request) -> int:
        self._count += 1
        self._jobs[self._count] = asyncio.create_task(self._run(request))
        for number in [number for number, job in self._jobs.items() if job.done()][:-_JOBS]:
            del self._jobs[number]
        return self._count

    async def _run(self, request: Request) -> Outcome:
        outcome = Outcome()
        async with self._turn:
            try:
                await self._spool.strike_letters()  # what the end of a process kept from being struck out
                left: Sequence[tuple[int, int, str]] = request.letters
                while left:
                    found, left = await asyncio.to_thread(self._read, left, outcome)
                    await self._replay_all(found, request, outcome)
                await self._sweep(request.files)
            except ShipperError as error:
                outcome.trouble = str(error)
            except Exception as error:  # noqa: BLE001 - code of others: a chain that raises
                outcome.trouble = f"the replay failed: {error!r}"
        if request.letters:
            text, stay = "dead letters were replayed", len(outcome.refused)
            log.info(text, letters=outcome.replayed, failed_again=outcome.failed, left=stay)
        return outcome

    def _read(
        self, wanted: Sequence[tuple[int, int, str]], outcome: Outcome
    ) -> tuple[list[Letter], Sequence[tuple[int, int, str]]]:
        """On a thread: the next letters, and what is left to read. Those that are replayed are only counted."""
        disk, size = LookingDisk(self._root), 0
        found: list[Letter] = []
        for at, (number, start, name) in enumerate(wanted):
            if len(found) == _AT_ONCE or size > _BYTES:
                return found, wanted[at:]
            letter = _letter(disk, _file(number), start)
            if letter is None or id_of(letter.stored.place, letter.stream, self._spool.home) != name or letter.struck:
                outcome.already += 1
                continue
            found.append(letter)
            size += len(letter.stored.letter.raw)
        return found, []

    async def _replay_all(self, found: Sequence[Letter], request: Request, outcome: Outcome) -> None:
        fit = []
        for letter in found:
            why = self._obstacle(letter.stored.letter, request)
            if why:
                name = id_of(letter.stored.place, letter.stream, self._spool.home)
                outcome.refused.append((name, why))
            else:
                fit.append(letter)
        for group, some in groupby(fit, lambda letter: group_of(letter, request.as_source)):
            most = self._spool.max_frame // 4
            if group.source is not None:
                most = self._sources.intakes[group.source].max_bytes
            for letters in parts(list(some), most):
                outcome.failed += await self._replay(group, letters)
                outcome.replayed += len(letters)
                self.replayed += len(letters)
                for letter in letters:
                    name = letter.stored.letter.processor
                    self._metrics.counter("shipper_dead_letters_replayed_total", processor=name).add()

    def _obstacle(self, letter: DeadLetter, request: Request) -> str:
        """Why a letter cannot be replayed; empty: it can."""
        if letter.size > len(letter.raw):
            return f"only the first {len(letter.raw)} bytes of {letter.size} are kept"
        of_sink = letter.processor.startswith("sink/")
        if not letter.format and (of_sink or letter.processor == "frame"):
            return "it holds no single record, but the bytes of a frame that could not be read"
        if of_sink and len(self._sinks) > 1 and not request.every_sink:
            return f"{letter.processor} refused it and the other sinks have it: --every-sink gives it to all of them"
        if not letter.processed and (request.as_source or letter.source) not in self._sources.intakes:
            known = ", ".join(self._sources.intakes)
            return f"no source {request.as_source or letter.source!r} runs: name one with --as ({known})"
        return ""

    async def _replay(self, group: Group, letters: Sequence[Letter]) -> int:
        """Replay one batch, and strike its letters out; how many new ones came of it."""
        old = replayed.decode(self._spool.state.get(replayed.KEY))
        places = [(letter.start, letter.stored.place) for letter in letters]
        mark = replayed.encode(replayed.Replayed(group.file, letters[0].stream, places, old.floor))
        batch = batch_of(group, [letter.stored.letter for letter in letters], mark)
        if group.source is None:
            batch.state[replayed.KEY] = mark
            entry = await asyncio.to_thread(entry_of, batch, batch.labels, self._spool.max_frame)
            durable, failed = self._spool.append(entry), len(entry.dead_letters)
        else:
            ticket = await self._sources.intakes[group.source].take(lambda: batch)
            assert ticket is not None  # noqa: S101 - for the type checker: there is a batch
            durable = ticket.durable
            await asyncio.shield(durable)
            failed = ticket.failed
        await asyncio.shield(durable)
        await self._spool.strike_letters()
        return failed

    async def _sweep(self, numbers: Sequence[int]) -> None:
        """Remove those of the files in which nothing is left."""
        done, floor = await asyncio.to_thread(self._finished, numbers)
        mark = replayed.encode(replayed.Replayed(floor=floor))
        known = self._spool.state.get(replayed.KEY)
        if numbers and known != mark and (done or known is not None):  # the letters in the list are struck out
            await asyncio.shield(self._spool.append(EntryDraft(state={replayed.KEY: mark})))
        if done:
            await self._spool.drop_letters(done)

    def _finished(self, numbers: Sequence[int]) -> tuple[dict[str, int], Place]:
        disk, done = LookingDisk(self._root), {}
        floor = replayed.decode(self._spool.state.get(replayed.KEY)).floor
        for name in map(_file, numbers):
            if (found := replayed.finished(disk, name)) is not None:
                done[name] = found[0]
                if stream_of(disk, f"{FOLDER}/{name}") == self._spool.home:
                    floor = max(floor, found[1])
        return done, floor


def _file(number: int) -> str:
    return f"{number:020d}.dlq"


def _letter(disk: LookingDisk, name: str, start: int) -> Letter | None:
    """The letter at a place; None: there is none."""
    path = f"{FOLDER}/{name}"
    try:
        stream = stream_of(disk, path) or b""
        file = disk.open(path)
    except FileNotFoundError:
        return None
    try:
        stored = letter_at(file, start)
        struck = file.read(len(STRUCK), start) == STRUCK
    finally:
        file.close()
    return None if stored is None else Letter(name, start, start, stream, stored, struck)
