"""Parse syslog messages."""

import time
from typing import Final

from shipper import Processor, Record, SyslogParser
from shipper_processors._text import TextParser
from shipper_processors._zones import zone

_NAMES: Final = frozenset(
    ("timestamp", "hostname", "app_name", "proc_id", "msg_id", "facility", "severity", "structured_data", "message")
)


class ParseSyslog(TextParser, Processor):
    r"""Parse a field that holds a syslog message, of RFC 5424 or RFC 3164; its parts take the field's place.

    They are ``timestamp`` (RFC 3339), ``hostname``, ``app_name``, ``proc_id``, ``msg_id``, ``facility``, ``severity``,
    ``structured_data`` and ``message``, the text that is left; parts that a message does not have are left out. It is
    what the source ``syslog`` does with what it receives: this is for files and for what comes in other ways. Lines as
    ``/var/log/syslog`` has them, without a priority, are understood too.

    A line that is neither goes on as it is, with the reason in the field ``parse_error``. Other fields of the record
    stay, unless the message has one of the same name. A timestamp of RFC 3164 has no year: the one is taken that brings
    it nearest to now, so lines are read rightly when they are less than half a year old.

    Example::

        processors:
          - parse_syslog                            # <34>Oct 11 22:14:15 web1 su[12]: 'su root' failed
          - parse_syslog: {timezone: Europe/Berlin} # of timestamps without one
          - parse_syslog: {field: log, where: "startswith(log, '<')"}
    """

    timezone: str | None = None
    """The zone of timestamps that name none, as in ``Europe/Berlin`` or ``UTC``. Default: this machine's."""

    clock = staticmethod(time.time)  # seconds since 1970; a test has another

    def setup(self) -> None:
        """:raises ValueError: there is no such time zone, or ``field`` is no field's name."""
        super().setup()
        self.parser = SyslogParser(zone(self.timezone))

    @property
    def names(self) -> frozenset[str]:
        """The parts of a message."""
        return _NAMES

    def parse(self, text: str) -> Record:
        """The parts of a message. :raises ValueError: it is none."""
        record = self.parser.parse_text(text, self.clock())
        if "parse_error" in record:
            raise ValueError(record["parse_error"])
        return record
