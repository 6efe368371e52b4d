"""Add fields from a table."""

import time
from pathlib import Path
from typing import Final, Literal

from shipper import ByteSize, Processor, Record, get_logger
from shipper_processors import _paths
from shipper_processors._table import Spec, Table, Version, key_text, table, version_of
from shipper_processors._walk import copied

_EVERY: Final = 1.0
"""Seconds between two looks at the file."""
_QUIET: Final = 60.0
"""Seconds in which the same is not said again by another source that uses the table."""
log: Final = get_logger("lookup")


class Lookup(Processor):
    """Look the value of a field up in a table, and add what stands there: the team of a service, the place of a host.

    The table is a CSV file whose first line names the columns, or a JSON file: ``{"KEY": {"team": "x"}}``,
    ``{"KEY": "x"}`` (then the column is ``value``), or with ``column`` a list of objects. Of equal keys the last one
    counts. Values of CSV are text. A field that is there already stays.

    The file is looked at once a second, and read again when it is another one or has changed, once nobody has written
    to it for a second. Replace it by renaming a new one over it. One that is missing, broken or too large is reported,
    and the table that was read last stays in use; at the start it is a config error. Columns that are added to it later
    are taken after a restart.

    Example::

        processors:
          - lookup: {file: teams.csv, field: service}   # {"service": "shop"} -> {"service": "shop", "team": "payments"}
          - lookup: {file: users.json, field: user.id, prefix: user_, columns: [name], default: {user_name: unknown}}
    """

    file: Path
    """The file. A relative path starts at the config file."""
    field: str
    """The field whose value is looked up: text or a whole number. Nested ones as in a condition; a label counts where a
    record has no such field."""
    format: Literal["csv", "json"] | None = None
    """The file's format. Without it the end of its name says it."""
    column: str | None = None
    """The column that holds the keys. Without it that is the first one of a CSV file, or the names of a JSON object."""
    columns: list[str] | None = None
    """Add only these columns. Without it all but the key."""
    prefix: str = ""
    """What is put before the name of each column to make the name of its field."""
    default: dict[str, str | int | float | bool | None] = {}  # noqa: RUF012 - each instance gets a copy
    """Fields for records whose key is not in the table, or that have none. Their names are whole: no ``prefix``."""
    overwrite: bool = False
    """Replace fields that are there already."""
    max_bytes: ByteSize = ByteSize(64 * 1024 * 1024)
    """The memory that the table may take. Sources that use the same table share it."""

    def setup(self) -> None:
        """:raises ValueError: a setting cannot be used, or there is no such table."""
        self.path = _paths.parse(self.field)
        form = self.format or self.file.suffix.lower().lstrip(".")
        if form not in ("csv", "json"):
            raise ValueError(f"format is missing: {self.file.name} ends with neither .csv nor .json")
        wanted = None if self.columns is None else tuple(self.columns)
        self.spec = Spec(self.file, form, self.column, wanted, self.max_bytes)
        self.table: Table | None = table(self.spec)
        self.spec = self.spec._replace(columns=self.table.columns)  # what is added is the same until a restart
        self.looked = self.seconds()
        self.seen = self.table.version
        self.refused: Version | None = None
        """What could not be read; it is tried again when it has changed."""
        self.trouble = ""

    def teardown(self) -> None:
        """Let go of the table."""
        self.table = None

    @staticmethod
    def seconds() -> float:
        """The clock that is read. A test has its own."""
        return time.monotonic()

    @staticmethod
    def time_of_day() -> float:
        """The clock of the file's own time, in seconds. A test has its own."""
        return time.time()

    @property
    def reads(self) -> frozenset[str] | None:
        """The field that is looked up."""
        return frozenset({_paths.parse(self.field)[0]})

    @property
    def writes(self) -> frozenset[str] | None:
        """The columns that are added, and what stands for them."""
        return frozenset({*(self.prefix + name for name in self.spec.columns or ()), *self.default})

    def process_batch(self, records: list[Record]) -> list[Record]:
        """Look each record up."""
        self.look()
        rows = {} if self.table is None else self.table.rows
        labels, path, prefix = dict(self.labels), self.path, self.prefix
        for record in records:
            key = _paths.get(record, path)
            if key is _paths.ABSENT and path[0] not in record:
                key = _paths.get(labels, path)
            if key.__class__ is not str:
                key = key_text(key)
            row = rows.get(key)
            added = self.default if row is None else {prefix + name: copied(value) for name, value in row.items()}
            for name, value in added.items():
                if self.overwrite or name not in record:
                    record[name] = value
        return records

    def look(self) -> None:
        """Read the table again if it has changed since it was read, but not in the last second.

        The look before tells that, or, where that was long ago, the file's own time.
        """
        now = self.seconds()
        if now - self.looked < _EVERY or self.table is None:
            return
        self.looked = now
        before = self.seen
        try:
            self.seen = version_of(self.file)
        except OSError as error:
            self.complain(f"the table {self.file} cannot be read: {error.strerror or error}")
            return
        if self.seen == self.table.version:
            self.trouble = ""
        elif self.seen != self.refused and (
            self.seen == before or self.time_of_day() - self.seen.changed / 1e9 >= _EVERY
        ):
            try:
                self.table = table(self.spec)
            except ValueError as error:
                self.refused = self.seen
                self.complain(str(error))
            else:
                self.trouble = ""
                log.info("table read again", processor=self.called, file=str(self.file), rows=len(self.table.rows))

    def complain(self, text: str) -> None:
        """Say once what is wrong with the file."""
        if text != self.trouble:
            self.trouble = text
            said = "a table cannot be read; what was read last stays in use"
            log.warning(said, processor=self.called, problem=text, every=_QUIET, key=(self.called, text))
