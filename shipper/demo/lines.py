"""The log lines of the demo. Each carries a number and a hash of all its other content, so that a record at the far end
says by itself which line it was and whether it is still the same.
"""

import hashlib
import re
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import orjson

_APP_FIELDS: Final = ("timestamp", "level", "logger", "message", "customer", "cents", "id")
_LEVELS: Final = ("info", "info", "info", "debug", "info", "warning", "info", "error")
_TEXTS: Final = (
    "order {} paid",
    "order {} packed",
    "payment of order {} took too long",
    'order {} says: "grüß Gott" ☕',
)
_PAGES: Final = ("/", "/cart", "/search", "/item/{}", "/static/app.js", "/api/orders/{}")
_STATUS: Final = (200, 200, 200, 304, 200, 404, 200, 500)
_AGENTS: Final = ("Mozilla/5.0 (X11; Linux x86_64)", "curl/8.5.0", "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0)")
_MARK: Final = re.compile(r"\?id=([0-9]+)&sum=([0-9a-f]{16})")


class Kind(NamedTuple):
    """One log of the demo."""

    name: str
    """The source's name, and the stem of the file."""
    about: str
    rate: int
    """Lines a second."""
    make: Callable[[int, float], bytes]
    """The line with that number, at that wall clock time, with its newline."""
    identify: Callable[[dict[str, Any]], tuple[int, bool]]
    """A delivered record's number (-1: it has none), and whether it is unaltered."""


def _app_line(number: int, now: float) -> bytes:
    record: dict[str, Any] = {
        "timestamp": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(now))}.{int(now % 1 * 1000):03d}Z",
        "level": _LEVELS[number % len(_LEVELS)],
        "logger": "shop.checkout",
        "message": _TEXTS[number % len(_TEXTS)].format(10_000 + number),
        "customer": {"id": number * 7919 % 5000, "country": ("DE", "FR", "US")[number % 3]},
        "cents": number * 31 % 20_000,
        "id": number,
    }
    return orjson.dumps(record | {"sum": _app_sum(record)}) + b"\n"


def _app_sum(record: dict[str, Any]) -> str:
    return _digest(repr([record.get(name) for name in _APP_FIELDS]).encode("utf-8", "backslashreplace"))


def _identify_app(record: dict[str, Any]) -> tuple[int, bool]:
    number = record.get("id")
    if not isinstance(number, int):
        return -1, False
    return number, record.get("sum") == _app_sum(record)


def _access_line(number: int, now: float) -> bytes:
    page = _PAGES[number % len(_PAGES)].format(number % 1000)
    stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now))
    before = f'203.0.113.{number % 250} - - [{stamp}] "GET {page}'
    after = f' HTTP/1.1" {_STATUS[number % len(_STATUS)]} {number * 37 % 90_000} "-" "{_AGENTS[number % len(_AGENTS)]}"'
    return f"{before}?id={number}&sum={_access_sum(str(number), before + after)}{after}\n".encode()


def _access_sum(number: str, rest: str) -> str:
    return _digest(f"{number} {rest}".encode("utf-8", "surrogateescape"))


def _identify_access(record: dict[str, Any]) -> tuple[int, bool]:
    line = str(record.get("message"))
    mark = _MARK.search(line)
    if mark is None:
        return -1, False
    return int(mark[1]), mark[2] == _access_sum(mark[1], line[: mark.start()] + line[mark.end() :])


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=8).hexdigest()


KINDS: Final = (
    Kind("app", "JSON, parsed by the agent", 400, _app_line, _identify_app),
    Kind("access", "combined access log, as it is", 800, _access_line, _identify_access),
)
