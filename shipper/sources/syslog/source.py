"""The ``syslog`` source's config, and the way from its inbox to batches."""

import asyncio
import math
import os
import time
from contextlib import suppress
from datetime import tzinfo
from functools import partial
from typing import TYPE_CHECKING, Annotated, ClassVar, Final

import msgspec

from shipper.batch import Batch, Loss, Record, SourceRange
from shipper.errors import ShipperError
from shipper.log import get_logger
from shipper.sources.base import Given, Intake, Receipt, Source
from shipper.sources.syslog.connections import REASONS, Connections
from shipper.sources.syslog.datagrams import Datagrams
from shipper.sources.syslog.endpoint import Endpoint
from shipper.sources.syslog.inbox import Inbox, Received
from shipper.syslog import SyslogParser
from shipper.units import ByteSize
from shipper.wire.certificates import ServerTls

if TYPE_CHECKING:
    from shipper.sources.syslog.tls import TlsContext

log = get_logger("syslog")

_KIB: Final = 1024
_SHORTEST: Final = 480
"""Every receiver must take messages of this length (RFC 5424, 6.1)."""
_LONGEST: Final = 256 * _KIB
_LAST_WORDS: Final = 5.0
"""Seconds that a full spool may hold up the end of the process for messages that came in."""
_DAY: Final = 86400.0


class SyslogSource(Source):
    """Take syslog messages over UDP, TCP and TLS: RFC 5424, RFC 3164 and what devices make of it.

    A record has `message`, and what the message says of `timestamp`, `hostname`, `app_name`, `proc_id`, `msg_id`,
    `facility`, `severity` and `structured_data`; `peer` is the sender's address. What is neither of the two formats is
    kept whole as `message`, with `parse_error`. Over TCP, octet counting and newlines are told apart each time.

    Syslog has no acknowledgements. Over UDP, messages are lost wherever they do not fit; over TCP, what was on its way
    when a process or a connection died. A message that came in is durable after `batch.max_delay`, about.
    """

    listen: list[str]
    """Where to listen: `udp://0.0.0.0:514`, `tcp://127.0.0.1:601`, `tls://[::]:6514`."""
    tls: ServerTls | None = None
    """For the `tls://` addresses; with `client_ca` only senders with a certificate come in. Files that change are read
    again."""
    timezone: str | None = None
    """The zone of timestamps that name none (RFC 3164), as in `Europe/Berlin` or `UTC`. Default: this machine's. Their
    year is the one that is nearest."""
    max_message_bytes: ByteSize = ByteSize(64 * _KIB)
    """Of a longer message the beginning is kept, with `truncated: true`; the rest is counted as lost."""
    max_connections: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 4096
    """More connections than this are closed at once; where one sender has most of them, some of its own."""

    inbox_bytes: ClassVar[int] = 4 * _KIB * _KIB
    """Messages that wait for their batch. With more nobody is read."""
    tick: ClassVar[float] = 1.0
    """Seconds between looks at drops, at certificates and at who does not end a message."""

    def setup(self) -> None:
        """:raises ValueError: an address, the zone or a size is none, or the files of ``tls`` cannot be used."""
        if not self.listen:
            raise ValueError("listen must name at least one address, as in [udp://0.0.0.0:514]")
        self._endpoints = [Endpoint.parse(text) for text in self.listen]
        claims = self.claims()
        if twice := [claim for claim in claims if claims.count(claim) > 1]:
            raise ValueError(f"listen names {twice[0]} twice")
        if not _SHORTEST <= self.max_message_bytes <= _LONGEST:
            raise ValueError(f"max_message_bytes must be at least {_SHORTEST} and at most {_LONGEST // _KIB}KiB")
        encrypted = [str(endpoint) for endpoint in self._endpoints if endpoint.transport == "tls"]
        if encrypted and self.tls is None:
            raise ValueError(f"{encrypted[0]} needs 'tls' with 'cert' and 'key'")
        if self.tls is not None and not encrypted:
            raise ValueError("tls is for addresses that begin with tls://, and 'listen' has none")
        self._zone = _zone(self.timezone)
        self._context = None if self.tls is None else _context(self.tls)
        self.bound: list[Endpoint] = []
        """Where it listens, with the ports that were given where the config says 0."""

    def claims(self) -> list[str]:
        """See ``Source``."""
        return [claim for endpoint in self._endpoints for claim in endpoint.claims()]

    def cautions(self) -> list[tuple[str, str]]:
        """See ``Source``."""
        found = [] if self._context is None else [("tls", text) for text in self._context.cautions()]
        for endpoint in self._endpoints:
            if endpoint.everywhere and endpoint.transport != "tls":
                text = "listens on every interface without TLS: whoever reaches the port can send"
                found.append(("listen", f"{endpoint} {text}"))
        return found

    def describe(self) -> str:
        """See ``Source``."""
        return f"listening on {', '.join(map(str, self.bound))}"

    @property
    def gives(self) -> tuple[Given, ...]:
        """Records."""
        return ("records",)

    async def run(self, intake: Intake, *, once: bool) -> None:
        """Serve until cancelled. With ``once`` nothing is there to be read at the start: it returns at once.

        :raises SourceError: an address cannot be listened on.
        """
        if once:
            return
        self.bound = []
        await _Server(self, intake).run()


class _Server:
    """One run of the source."""

    def __init__(self, source: SyslogSource, intake: Intake) -> None:
        self._source = source
        self._intake = intake
        self._context = source._context
        self._parser = SyslogParser(source._zone)
        self._generation = os.urandom(16)
        self._position = 0
        self._in_hand = 0
        """Messages of the batch that the intake has and did not take yet."""
        self._closed = False
        self._taking: asyncio.Future[Receipt | None] | None = None
        self._datagrams: list[Datagrams] = []
        self._inbox = Inbox(source.inbox_bytes, self._stop, self._resume)
        metrics, name = intake.metrics, intake.name
        self._replaced = metrics.counter("shipper_text_replaced_total", source=name)
        refused = {
            reason: metrics.counter("shipper_source_refused_total", source=name, reason=reason) for reason in REASONS
        }
        self._connections = Connections(
            self._inbox,
            source.max_message_bytes,
            source.max_connections,
            self._context,
            lambda reason: refused[reason].add(),
        )
        ends = self._context.ends if self._context is not None else lambda: math.inf
        metrics.gauge_function("shipper_source_connections", lambda: len(self._connections), source=name)
        metrics.counter_function("shipper_source_received_bytes_total", lambda: self._inbox.received, source=name)
        metrics.gauge_function("shipper_source_certificate_ends_seconds", ends, source=name)
        metrics.counter_function("shipper_source_dropped_datagrams_total", self._dropped, source=name)

    async def run(self) -> None:
        """See ``SyslogSource.run``. When cancelled, what came in is handed over, unless that takes too long."""
        ticking: asyncio.Task[None] | None = None
        try:
            await self._open()
            ticking = asyncio.create_task(self._tick())
            await self._ship()
        except asyncio.CancelledError:
            await self._close()
            with suppress(TimeoutError, ShipperError):
                async with asyncio.timeout(_LAST_WORDS):
                    if self._taking is not None:
                        await asyncio.shield(self._taking)
                        self._in_hand = 0
                    while len(self._inbox):
                        await self._hand_over()
            lost = self._in_hand + len(self._inbox)
            if lost:
                log.error("messages that came in are lost: nothing could be written before the end", messages=lost)
            raise
        finally:
            await self._close()
            if ticking is not None:
                ticking.cancel()
            if self._taking is not None:
                self._taking.cancel()

    async def _open(self) -> None:
        bound = []
        for endpoint in self._source._endpoints:
            if endpoint.transport == "udp":
                self._datagrams.append(Datagrams(endpoint, self._inbox, self._source.max_message_bytes))
                bound.append(self._datagrams[-1].endpoint)
            else:
                bound.append(await self._connections.listen(endpoint))
        self._source.bound = bound
        self._resume()

    async def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await self._connections.close()
        for datagrams in self._datagrams:
            datagrams.close()

    def _stop(self) -> None:
        """The inbox is full."""
        self._connections.stop()
        for datagrams in self._datagrams:
            datagrams.stop()

    def _resume(self) -> None:
        if not self._closed:
            self._connections.resume()
            for datagrams in self._datagrams:
                datagrams.resume()

    def _dropped(self) -> float:
        return sum(datagrams.dropped for datagrams in self._datagrams)

    async def _tick(self) -> None:
        reminded = time.monotonic()
        while True:
            await asyncio.sleep(self._source.tick)
            self._connections.tick()
            for datagrams in self._datagrams:
                datagrams.tick()
            if self._context is None:
                continue
            await asyncio.to_thread(self._context.refresh)
            if time.monotonic() - reminded >= _DAY:
                reminded = time.monotonic()
                for text in self._context.cautions():
                    log.warning(text)

    async def _ship(self) -> None:
        due = 0.0
        while True:
            await self._inbox.wait(1, None)
            await self._inbox.wait(self._intake.max_bytes, due - time.monotonic())
            await self._hand_over()
            due = time.monotonic() + self._intake.max_delay

    async def _hand_over(self) -> None:
        received = self._inbox.take(self._intake.max_bytes)
        self._in_hand = len(received)
        # Shielded: nobody could read again what a cancelled call had taken out of the inbox.
        self._taking = asyncio.ensure_future(self._intake.take(partial(self._batch, received)))
        await asyncio.shield(self._taking)
        self._taking, self._in_hand = None, 0

    def _batch(self, received: list[Received]) -> Batch | None:
        """On a worker thread: parse."""
        if not received:
            return None
        read_at = time.time_ns() // 1000
        seconds = read_at / 1e6
        parse, at = self._parser.parse, self._position
        records: list[Record] = []
        losses: list[Loss] = []
        for message, peer, endpoint in received:
            record = parse(message.data, seconds)
            record["peer"] = peer
            if not message.whole:
                record["truncated"] = True
            records.append(record)
            at += len(message.data) + message.skipped + 1
            if message.skipped:
                losses.append(Loss(endpoint, self._generation, at - 1 - message.skipped, at - 1, "too_long"))
        span = SourceRange(self._intake.name, self._generation, self._position, at, len(records), len(records))
        self._position = at
        if self._parser.replaced:
            self._replaced.add(self._parser.replaced)
            self._parser.replaced = 0
        return Batch(self._intake.name, dict(self._intake.labels), records, [span], read_at, losses=losses)


def _context(tls: ServerTls) -> "TlsContext":
    from shipper.sources.syslog.tls import TlsContext  # OpenSSL, only where it is used

    return TlsContext(tls)


def _zone(name: str | None) -> tzinfo | None:
    """:raises ValueError: there is no such zone."""
    if name is None:
        return None
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"there is no time zone {name!r}; write one as Europe/Berlin, or UTC") from error
