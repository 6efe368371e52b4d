"""Make several records of one."""

from typing import Annotated, Any, Final

from msgspec import Meta

from shipper import Processor, Record
from shipper_processors import _paths
from shipper_processors._walk import copied

_NEWLINE: Final = "\n"


class Split(Processor):
    """Make a record of each item of a list, or of each part of a text; all other fields are in each of them.

    A record without the field, or with something else in it, goes on as it is, and so does one with an empty list or
    text. Records that become several are counted as one that was read; each keeps a place of its own in the stream.

    Example::

        processors:
          - split: {field: events}
          # {"host": "a", "events": [1, 2]} -> {"host": "a", "events": 1} {"host": "a", "events": 2}
          - split: {field: message, separator: ";"}        # one;two -> {"message": "one"} {"message": "two"}
          - split: {field: items, merge: true}             # the fields of each item take the place of items
          # {"host": "a", "items": [{"n": 1}, {"n": 2}]} -> {"host": "a", "n": 1} {"host": "a", "n": 2}
    """

    field: str
    """The field that holds the list or the text; nested ones as in a condition."""
    separator: str | None = None
    """What stands between the parts of a text; without it a newline. Empty parts are left out."""
    into: str | None = None
    """The field that gets the item. Without it that is ``field`` itself."""
    merge: bool = False
    """Where an item is an object, put its fields into the record in place of it; they win over others of the same
    name."""
    max_items: Annotated[int, Meta(ge=1, le=100_000)] = 1000
    """A record of which more would become is an error: it could fill the memory."""

    def setup(self) -> None:
        """:raises ValueError: a name is none, or the separator is empty."""
        if self.separator == "":
            raise ValueError('separator is empty; write what stands between the parts, as in separator: ";"')
        self.path = _paths.parse(self.field)
        self.target = self.path if self.into is None else _paths.parse(self.into)

    @property
    def reads(self) -> frozenset[str] | None:
        """Any: records are copied."""
        return None

    def process(self, record: Record) -> Record | list[Record]:
        """Make the records. :raises ValueError: there would be too many, or an item cannot be put where it belongs."""
        value = _paths.get(record, self.path)
        if isinstance(value, str):
            items = [part for part in value.split(self.separator or _NEWLINE) if part]
        elif isinstance(value, list):
            items = value
        else:
            return record
        if len(items) > self.max_items:
            raise ValueError(f"{self.field} would become more than {self.max_items} records; see max_items")
        return [self.with_item(record, item) for item in items] or record

    def with_item(self, record: Record, item: Any) -> Record:
        """A record of its own with one of the items: nothing in it is shared, so each may be changed in place."""
        made: Record = {
            name: value if name == self.path[0] and not self.path[1:] else copied(value)
            for name, value in record.items()
        }
        if self.merge and isinstance(item, dict):
            _paths.pop(made, self.path)
            return made | item
        if self.target != self.path:
            _paths.pop(made, self.path)
        _paths.put(made, self.target, item)
        return made
