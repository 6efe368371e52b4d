"""One syslog message -> one record. Sans-IO.

    {"message": "'su root' failed", "timestamp": "2003-10-11T22:14:15.003Z", "hostname": "mymachine", "app_name": "su",
     "proc_id": "12", "msg_id": "ID47", "facility": "auth", "severity": "crit", "structured_data": {"id": {"k": "v"}}}

Fields that a message does not have are left out, and so is a NILVALUE. Names of facilities and severities are those of
RFC 5427. A message that is neither RFC 5424 nor RFC 3164 is kept whole: ``{"message": ..., "parse_error": why}``.

RFC 3164 describes what was seen on the wire, so nearly everything is one. What is taken here beside the RFC's own form:
no PRI; a blank behind it; months in capitals; no hostname (``logger`` to ``/dev/log``); timestamps of RFC 3339, with a
year, or with fractions; Cisco's sequence number, origin, ``*`` and zone
(``<189>42: r1: *Mar  1 18:48:50.483 UTC: %SYS-5-CONFIG_I: Configured``).
"""

import re
from datetime import tzinfo
from typing import Any, Final

from shipper.batch import Record
from shipper.syslog.stamps import Bsd, Stamps

FACILITIES: Final = (
    *("kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "ntp"),
    *("audit", "console", "cron2", *(f"local{number}" for number in range(8))),
)
"""By number."""
SEVERITIES: Final = ("emerg", "alert", "crit", "err", "warning", "notice", "info", "debug")
"""By number."""
_PRIORITIES: Final = {
    str(number * 8 + level): (facility, severity)
    for number, facility in enumerate(FACILITIES)
    for level, severity in enumerate(SEVERITIES)
}
_BOM: Final = "\ufeff"

_PRI: Final = re.compile(r"<([0-9]{1,3})>(1 (?=-|[0-9]{4}-))?")
"""The second group: this is RFC 5424, version 1. ``<13>1 apple`` is not."""
_NEW: Final = re.compile(
    r"(?:-|([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt]([0-9:]{8})(?:\.([0-9]+))?([Zz]|[+-][0-9]{2}:[0-9]{2})) "
    r"(?:-|(\S+)) (?:-|(\S+)) (?:-|(\S+)) (?:-|(\S+)) (?:-(?= |\Z)|(?=\[))"
)
"""date, time, fraction, zone, hostname, app name, process, message id; structured data or the message follows."""
_ELEMENT: Final = re.compile(r'\[([^ =\]"]+)((?: +[^ =\]"]+="(?:[^"\\]|\\.)*+")*+) *\]', re.DOTALL)
_PARAMETER: Final = re.compile(r'([^ =\]"]+)="((?:[^"\\]|\\.)*+)"', re.DOTALL)
_ESCAPED: Final = re.compile(r'\\(["\\\]])')

_MONTH: Final = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
_OLD: Final = re.compile(
    # what Cisco sends before the timestamp: a sequence number, an origin, and "*" while its clock is not set
    r" ?(?:([0-9]{1,10}): )?(?:([^\s:]{1,255}): )?:?[*.]?"
    rf"(?:((?i:{_MONTH})) {{1,2}}([0-9]{{1,2}}) (?:([0-9]{{4}}) )?([0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}})"
    r"|([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2}))"
    r"(?:[.,]([0-9]{1,9}))?([Zz]|[+-][0-9]{2}:?[0-9]{2}\b)?(?: ([A-Z]{3,5})(?=:))?(?::? |:?\Z)"
)
"""sequence, origin; month, day, year, time; date, time; fraction, zone, zone's name."""
_SENDER: Final = re.compile(
    r"(?:([\w.:/%@-]*[\w./@-])(?: :)? +(?!\Z))?"
    r"""(?:([^\s:\[\]"'{}=,<>]{1,128})(?:\[([^\]\s]{0,128})\]:? ?|:(?: |\Z)))?""",
    re.ASCII,
)
"""hostname; tag, process; what follows is the message."""


class SyslogParser:
    """Parses messages of one source; it remembers the timestamps of the last seconds."""

    def __init__(self, zone: tzinfo | None = None) -> None:
        """``zone``: that of timestamps that name none; None: this machine's."""
        self._stamps = Stamps(zone)
        self.replaced = 0
        """Messages that were not UTF-8."""

    def parse(self, data: bytes, received: float) -> Record:
        """The record of a message, without its frame. Never fails; bytes that are not UTF-8 become U+FFFD.

        ``received``: seconds since 1970, for timestamps without a year.
        """
        try:
            text = data.decode()
        except UnicodeDecodeError:
            text = data.decode("utf-8", "replace")
            self.replaced += 1
        return self.parse_text(text, received)

    def parse_text(self, text: str, received: float) -> Record:
        """The same for text."""
        pri = _PRI.match(text)
        if pri is None:
            record = self._old(text, 0, received)
            return record or _neither(text, "neither RFC 5424 nor RFC 3164: it has no priority and no timestamp")
        priority = _PRIORITIES.get(pri[1]) or _PRIORITIES.get(str(int(pri[1])))
        if priority is None:
            return _neither(text, f"priority {pri[1]} is not in 0 to 191")
        if pri[2] is None:
            record = self._old(text, pri.end(), received) or {"message": text[pri.end() :].removeprefix(_BOM)}
        else:
            record = self._new(text, pri.end())
        if "parse_error" not in record:
            record["facility"], record["severity"] = priority
        return record

    def _new(self, text: str, at: int) -> Record:
        """RFC 5424, behind the version."""
        match = _NEW.match(text, at)
        if match is None:
            return _neither(text, "RFC 5424: the header is not complete")
        date, time, fraction, zone, hostname, app_name, proc_id, msg_id = match.groups()
        record: Record = {"message": ""}
        if date is not None:
            timestamp = self._stamps.iso(f"{date}T{time}", zone, fraction)
            if timestamp is None:
                return _neither(text, "RFC 5424: there is no such time as its timestamp")
            record["timestamp"] = timestamp
        _add(record, hostname, app_name, proc_id)
        if msg_id is not None:
            record["msg_id"] = msg_id
        at = match.end()
        if text.startswith("[", at):
            elements, at = _structured(text, at)
            record["structured_data"] = elements
        if at < len(text):
            if text[at] != " ":
                return _neither(text, "RFC 5424: the structured data is damaged")
            record["message"] = text[at + 1 :].removeprefix(_BOM)
        return record

    def _old(self, text: str, at: int, received: float) -> Record | None:
        """RFC 3164, behind the priority; None where there is no timestamp."""
        match = _OLD.match(text, at)
        if match is None:
            return None
        sequence, origin, month, day, year, time, date, iso_time, fraction, zone, name = match.groups()
        utc = name in {"UTC", "GMT"} or zone in {"Z", "z"}
        if month is not None:
            timestamp = self._stamps.bsd(Bsd(month.title(), day, time, year, utc), fraction, received)
        else:
            if zone is not None and len(zone) == len("+0000"):
                zone = f"{zone[:3]}:{zone[3:]}"
            timestamp = self._stamps.iso(f"{date}T{iso_time}", "Z" if utc else zone, fraction)
        if timestamp is None:
            return None
        sender = _SENDER.match(text, match.end())
        assert sender is not None  # noqa: S101 - for the type checker: every part of it may be missing
        hostname, tag, proc_id = sender.groups()
        record: Record = {"message": text[sender.end() :].removeprefix(_BOM), "timestamp": timestamp}
        if tag is not None and tag.startswith("%"):
            record["msg_id"], tag = tag[1:], None
        _add(record, origin if hostname in {None, "-"} else hostname, tag, proc_id or None)
        if sequence is not None:
            record["structured_data"] = {"meta": {"sequenceId": sequence}}  # what RFC 5424 calls it
        return record


def _add(record: Record, hostname: str | None, app_name: str | None, proc_id: str | None) -> None:
    if hostname is not None:
        record["hostname"] = hostname
    if app_name is not None:
        record["app_name"] = app_name
    if proc_id is not None:
        record["proc_id"] = proc_id


def _structured(text: str, at: int) -> tuple[dict[str, Any], int]:
    """Elements by their id, and where they end. A parameter that stands there several times has a list of values."""
    elements: dict[str, Any] = {}
    while (match := _ELEMENT.match(text, at)) is not None:
        parameters = elements.setdefault(match[1], {})
        for name, value in _PARAMETER.findall(match[2]):
            plain = _ESCAPED.sub(r"\1", value) if "\\" in value else value
            if name not in parameters:
                parameters[name] = plain
            elif isinstance(parameters[name], list):
                parameters[name].append(plain)
            else:
                parameters[name] = [parameters[name], plain]
        at = match.end()
    return elements, at


def _neither(text: str, why: str) -> Record:
    return {"message": text, "parse_error": why}
