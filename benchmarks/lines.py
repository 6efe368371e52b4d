"""The lines that the bench ships: deterministic, each with an id of its own, each to be had again by its number.

Lines come in blocks; a block depends on the seed, the kind and its number alone. So a file of any length is the
beginning of the same endless log, and whoever checks an output can ask for line 1,234,567 without keeping the input.
"""

import os
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from typing import Final, Literal

Kind = Literal["json", "calm", "access", "java"]

BLOCK: Final = 5000
"""Lines of a block. The log's clock goes on by 100 µs a line, so a block is half a second."""
_SEED: Final = 20240501
_START: Final = datetime(2024, 5, 1, 12, tzinfo=UTC)

_LEVELS: Final = ("debug", "info", "warn", "error")
_LEVEL_WEIGHTS: Final = (20, 65, 10, 5)
_CALM_WEIGHTS: Final = (20, 69, 10, 1)
_LOGGERS: Final = ("payments.api", "payments.ledger", "http.access", "db.pool", "cache", "auth.session")
_MESSAGES: Final = (
    "charged the card for order {n} in eu-west-1",
    "GET /v2/orders/{n} answered with 200",
    "cache miss for key session:{n}, loading",
    "retrying connection {n} to the ledger (attempt 2)",
    "user {n} signed in from a new device",
    'rejected order {n}: \\"card expired\\"',
    "queue depth is {n}, workers are keeping up",
    "Zahlung {n} geprüft und gebucht",
)
_METHODS: Final = ("GET", "GET", "GET", "GET", "POST", "PUT", "DELETE")
_PATHS: Final = ("items", "orders", "cart", "users", "static/js", "search")
_STATUSES: Final = (200, 200, 200, 200, 204, 301, 304, 404, 500)
_REFERERS: Final = ("-", "-", "https://shop.example.com/", "https://shop.example.com/cart")
_FRAMES: Final = (
    "payments.Gateway.charge(Gateway",
    "payments.Gateway$$SpringCGLIB$$0.charge(<generated>",
    "orders.OrderService.lambda$place$0(OrderService",
    "orders.OrderController.place(OrderController",
    "web.filter.TracingFilter.doFilterInternal(TracingFilter",
    "ledger.LedgerClient.book(LedgerClient",
)
_AGENTS: Final = ("curl/8.5.0", "Mozilla/5.0 (X11; Linux)", "okhttp/4.12.0", "python-requests/2.32", "Googlebot/2.1")


@lru_cache(maxsize=4)
def block(kind: Kind, number: int) -> list[str]:
    """The lines of one block, without newlines."""
    rng = random.Random(f"{_SEED}/{kind}/{number}")
    first = number * BLOCK
    moment = _START + timedelta(microseconds=100 * first)
    return _BLOCKS[kind](rng, first, moment)


def _json_block(
    rng: random.Random, first: int, moment: datetime, weights: Sequence[int] = _LEVEL_WEIGHTS, trace: str = ""
) -> list[str]:
    """About 216 bytes a line. ``trace``: how each trace id begins."""
    second, micros = moment.strftime("%Y-%m-%dT%H:%M:%S"), moment.microsecond
    traces = rng.randbytes(8 * BLOCK).hex()
    picks = zip(
        rng.choices(_LEVELS, weights, k=BLOCK),
        rng.choices(_LOGGERS, k=BLOCK),
        rng.choices(_MESSAGES, k=BLOCK),
        rng.choices(range(100_000), k=BLOCK),
        rng.choices(range(1_000_000), k=BLOCK),
        strict=True,
    )
    return [
        f'{{"timestamp":"{second}.{micros + 100 * at:06d}Z","level":"{level}","id":{first + at},"logger":"{logger}",'
        f'"trace_id":"{trace}{traces[16 * at : 16 * at + 16]}","user":{user},"duration_ms":{number / 1000},'
        f'"message":"{message.replace("{n}", str(number))}"}}'
        for at, (level, logger, message, user, number) in enumerate(picks)
    ]


def _access_block(rng: random.Random, first: int, moment: datetime) -> list[str]:
    """Combined log format, about 133 bytes a line. The id is the number in the path."""
    second = moment.strftime("%d/%b/%Y:%H:%M:%S +0000")
    picks = zip(
        rng.choices(range(1 << 16), k=BLOCK),
        rng.choices(("-", "-", "-", "frank", "alice"), k=BLOCK),
        rng.choices(_METHODS, k=BLOCK),
        rng.choices(_PATHS, k=BLOCK),
        rng.choices(_STATUSES, k=BLOCK),
        rng.choices(range(100_000), k=BLOCK),
        rng.choices(_REFERERS, k=BLOCK),
        rng.choices(_AGENTS, k=BLOCK),
        strict=True,
    )
    return [
        f'10.1.{peer >> 8}.{peer & 255} - {user} [{second}] "{method} /api/{path}/{first + at} HTTP/1.1" '
        f'{status} {size} "{referer}" "{agent}"'
        for at, (peer, user, method, path, status, size, referer, agent) in enumerate(picks)
    ]


def _java_block(rng: random.Random, first: int, moment: datetime) -> list[str]:
    """What a Java service logs: one event in four with a stack trace of 15 to 45 lines; about 650 bytes an event. The
    id is the number in the path.
    """
    second, micros = moment.strftime("%Y-%m-%d %H:%M:%S"), moment.microsecond
    events = []
    for at in range(BLOCK):
        number = first + at
        millis = (micros + 100 * at) // 1000
        head = f"{second}.{millis:03d} {{}} [http-nio-8080-exec-{at % 20}] c.e.shop.orders.OrderController"
        if rng.randrange(4):
            events.append(
                head.format("INFO ") + f" - POST /api/orders/{number} answered 201 in {rng.randrange(900)} ms"
            )
            continue
        lines = [head.format("ERROR") + f" - POST /api/orders/{number} failed"]
        lines.append(f"java.lang.IllegalStateException: cannot charge card of user {rng.randrange(100_000)}")
        frames = rng.choices(_FRAMES, k=rng.randrange(10, 40))
        lines += [f"\tat com.example.shop.{frame}.java:{rng.randrange(900)})" for frame in frames]
        lines.append(f"Caused by: java.net.SocketTimeoutException: Read timed out after {rng.randrange(5000)} ms")
        lines += [
            "\tat java.base/java.net.Socket$SocketInputStream.read(Socket.java:1099)",
            f"\t... {len(frames)} more",
        ]
        events.append("\n".join(lines))
    return events


_BLOCKS: Final[dict[Kind, Callable[[random.Random, int, datetime], list[str]]]] = {
    "json": _json_block,
    # one error in a hundred, and no trace id that happens to be the number of a credit card
    "calm": partial(_json_block, weights=_CALM_WEIGHTS, trace="t"),
    "access": _access_block,
    "java": _java_block,
}


@dataclass(frozen=True)
class Corpus:
    """The first ``lines`` lines of a kind, as a file. Of ``java``: events, some of several lines."""

    kind: Kind
    lines: int
    path: Path
    size: int = field(default=0, compare=False)
    """Bytes of the file."""

    @classmethod
    def write(cls, kind: Kind, lines: int, folder: Path) -> "Corpus":
        """Write the file, or take the one that is there; synced, so that its write-back disturbs no measurement."""
        path = folder / f"{kind}-{_SEED}-{lines}.log"
        if not path.exists():
            part = path.with_suffix(".part")
            with part.open("wb") as file:
                for text in cls(kind, lines, path).texts():
                    file.write(text)
                file.flush()
                os.fsync(file.fileno())
            part.rename(path)
        return cls(kind, lines, path, path.stat().st_size)

    def texts(self) -> Iterator[bytes]:
        """The file's bytes, a block at a time."""
        for first in range(0, self.lines, BLOCK):
            chosen = block(self.kind, first // BLOCK)[: self.lines - first]
            yield ("\n".join(chosen) + "\n").encode()

    def __iter__(self) -> Iterator[str]:
        """Every line in order, without newline, made anew: the file may be gone or changed."""
        for first in range(0, self.lines, BLOCK):
            yield from block(self.kind, first // BLOCK)[: self.lines - first]

    def split(self, parts: int, folder: Path) -> int:
        """Write the same bytes as so many files, ``0000.log`` and on, into ``folder``; synced. Returns the lines of
        each (but for the last one).
        """
        each = -(-self.lines // parts)
        folder.mkdir(parents=True)
        with self.path.open("rb") as lines:
            for part in range(parts):
                with (folder / f"{part:04d}.log").open("wb") as file:
                    file.writelines(islice(lines, each))
                    file.flush()
                    os.fsync(file.fileno())
        return each

    def line(self, number: int) -> str:
        """One line by its number."""
        return block(self.kind, number // BLOCK)[number % BLOCK]
