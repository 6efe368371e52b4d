"""What shipper says about itself, on stderr: for people on a terminal, one JSON object a line everywhere else.

    log = get_logger("spool")
    log.warning("the disk is slow", seconds=3.2, every=60.0)

Rules
- A call never raises and never kills the process: a line that stderr does not take is counted (``lost_lines`` of the
  next one) and gone. A write blocks as long as the pipe behind stderr does, not longer.
- One line is one event. Control characters, newlines and everything else that does not print are escaped in messages
  and values, so that log data cannot forge lines or drive a terminal.
- Values are cut at ``log_lines.VALUE_LIMIT`` characters. Whether a value is a secret is the caller's business.
- A level that is off costs one comparison.
- Any thread may log. The lock is re-entrant because the garbage collector may run a finaliser that logs (asyncio's
  "Task exception was never retrieved") while this thread holds it.
"""

import logging
import os
import sys
import threading
import time
from collections.abc import Hashable
from typing import Any, Final, Literal, TextIO

from shipper.log_lines import DEBUG, ERROR, INFO, WARNING, human_line, json_line

KEYS_LIMIT: Final = 1024
"""Rate limiting remembers so many keys; the one not used for longest is forgotten first."""
LIBRARY_EVERY: Final = 10.0
"""Seconds between two records of a library with the same text."""

Level = Literal["debug", "info", "warning", "error"]

_LEVELS: Final[dict[str, int]] = {"debug": DEBUG, "info": INFO, "warning": WARNING, "error": ERROR}


class RateLimit:
    """Lets the first of each key through, then one per ``every`` seconds; counts what it holds back. No I/O."""

    __slots__ = ("_seen", "limit")

    def __init__(self, limit: int = KEYS_LIMIT) -> None:
        self.limit = limit
        self._seen: dict[Hashable, tuple[float, int]] = {}

    def admit(self, key: Hashable, every: float, now: float) -> int | None:
        """How many were held back since the last one that went through, or None: hold this one back.

        ``now`` is a monotonic clock in seconds.
        """
        last, held = self._seen.get(key, (None, 0))
        if last is not None and now - last < every:
            self._seen[key] = (last, held + 1)
            return None
        self._seen.pop(key, None)  # so that the dict's order is the order of the last use
        if len(self._seen) >= self.limit:
            del self._seen[next(iter(self._seen))]
        self._seen[key] = (now, 0)
        return held

    def __len__(self) -> int:
        return len(self._seen)


class _Output:
    """Where lines go and how they look. One for the process, changed by ``configure`` alone."""

    def __init__(self) -> None:
        self.level = INFO
        self.stream: TextIO | None = None
        self.force_json: bool | None = None
        self.limits = RateLimit()
        self.lost = 0
        self.torn = False
        self.lock = threading.RLock()

    def emit(
        self,
        level: int,
        logger: str,
        message: str,
        fields: dict[str, Any],
        every: float | None,
        key: Hashable,
        exc: BaseException | None,
    ) -> None:
        try:
            with self.lock:
                if every is not None:
                    limit_key = (logger, message if key is None else key)
                    held = self.limits.admit(limit_key, every, time.monotonic())
                    if held is None:
                        return
                    if held:
                        fields["suppressed"] = held
                if self.lost:
                    fields["lost_lines"] = self.lost
                stream = sys.stderr if self.stream is None else self.stream
                if stream is None or stream.closed:
                    return
                terminal = stream.isatty()
                if self.force_json or (self.force_json is None and not terminal):
                    line = json_line(level, logger, message, fields, exc)
                else:
                    line = human_line(level, logger, message, fields, exc, colours=terminal and _wants_colours())
                self._write(stream, line)
        except Exception:  # noqa: BLE001 - a log line must never take down what it talks about
            self.lost += 1

    def _write(self, stream: TextIO, line: str) -> None:
        data = ("\n" + line if self.torn else line).encode("utf-8", "backslashreplace")
        try:
            descriptor = stream.fileno()
        except (OSError, ValueError):  # a stream that lives in memory
            stream.write(data.decode())
            stream.flush()
        else:
            # Past the stream's buffer: what it could not write would stay in it, and Python would fail with
            # status 120 when it flushes on exit.
            written = 0
            try:
                while written < len(data):
                    written += os.write(descriptor, data[written:])
            except OSError:
                self.torn = self.torn or written > 0
                raise
        self.torn = False
        self.lost = 0


_output: Final = _Output()


class Logger:
    """Says things under one component's name. Get one with ``get_logger``.

    All four methods take fields as keywords, and three keywords of their own: ``every`` (seconds): repeats within that
    time are counted, not written, and the count goes with the next one as ``suppressed``; ``key``: what makes two
    events the same for ``every`` (default: the message); ``exc``: an exception to show with its traceback, for bugs.
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def debug(
        self,
        message: str,
        /,
        *,
        every: float | None = None,
        key: Hashable = None,
        exc: BaseException | None = None,
        **fields: Any,
    ) -> None:
        """For whoever develops shipper."""
        if _output.level <= DEBUG:
            _output.emit(DEBUG, self.name, message, fields, every, key, exc)

    def info(
        self,
        message: str,
        /,
        *,
        every: float | None = None,
        key: Hashable = None,
        exc: BaseException | None = None,
        **fields: Any,
    ) -> None:
        """Something that an operator wants to read afterwards happened as it should."""
        if _output.level <= INFO:
            _output.emit(INFO, self.name, message, fields, every, key, exc)

    def warning(
        self,
        message: str,
        /,
        *,
        every: float | None = None,
        key: Hashable = None,
        exc: BaseException | None = None,
        **fields: Any,
    ) -> None:
        """Something is not as it should be; shipper goes on by itself."""
        if _output.level <= WARNING:
            _output.emit(WARNING, self.name, message, fields, every, key, exc)

    def error(
        self,
        message: str,
        /,
        *,
        every: float | None = None,
        key: Hashable = None,
        exc: BaseException | None = None,
        **fields: Any,
    ) -> None:
        """Somebody has to do something."""
        _output.emit(ERROR, self.name, message, fields, every, key, exc)

    def enabled(self, level: Level) -> bool:
        """Whether that level is written: ask before computing an expensive field."""
        return _output.level <= _LEVELS[level]


def get_logger(name: str) -> Logger:
    """The logger of a component: ``spool``, ``sink/central``."""
    return Logger(name)


def configure(level: Level = "info", stream: TextIO | None = None, force_json: bool | None = None) -> None:
    """Set what is written and where, for the whole process; also sends the ``logging`` records of libraries
    (WARNING and above, rate-limited) through the same output.

    ``stream`` None is whatever ``sys.stderr`` is when a line is written. ``force_json`` None is JSON unless the stream
    is a terminal.

    :raises KeyError: an unknown level.
    """
    number = _LEVELS[level]
    with _output.lock:
        _output.level = number
        _output.stream = stream
        _output.force_json = force_json
        _output.lost, _output.torn, _output.limits = 0, False, RateLimit()
    root = logging.getLogger()
    for handler in [h for h in root.handlers if isinstance(h, _FromLibraries)]:
        root.removeHandler(handler)
    root.addHandler(_FromLibraries(logging.WARNING))
    root.setLevel(logging.WARNING)


class _FromLibraries(logging.Handler):
    """Brings records of the standard ``logging`` module into our output."""

    def emit(self, record: logging.LogRecord) -> None:
        level = ERROR if record.levelno >= logging.ERROR else WARNING
        if _output.level > level:
            return
        try:
            message = record.getMessage()
        except Exception:  # noqa: BLE001 - the library's format string and its arguments do not match
            message = str(record.msg)
        exc = record.exc_info[1] if record.exc_info else None
        _output.emit(level, record.name, message, {}, LIBRARY_EVERY, str(record.msg), exc)


def _wants_colours() -> bool:
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
