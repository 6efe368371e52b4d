"""Rename fields."""

from shipper import Processor, Record
from shipper_processors import _paths


class Rename(Processor):
    """Give fields other names, or move them into objects and out of them.

    Where there is a field of the new name already, both stay as they are, unless ``overwrite`` is set; so they do where
    the new name leads through something that is no object. What is not there is not renamed. The names are taken one
    after the other, in their order. Labels (``host``, ``file``, those of the config) are no fields: they keep theirs.

    Example::

        processors:
          - rename: {fields: {lvl: level, msg: message}}  # {"lvl": "info", "n": 1} -> {"n": 1, "level": "info"}
          - rename: {fields: {http.status: status, "@version": version}}
          - rename: {fields: {"field('user.id')": user.id}, overwrite: true}   # a name with a dot in it
    """

    fields: dict[str, str]
    """The old names, each with its new one. They are written as in a condition: ``http.status`` is inside ``http``."""
    overwrite: bool = False
    """Replace a field of the new name."""

    def setup(self) -> None:
        """:raises ValueError: there is nothing to rename, or a name is none, or is to become itself."""
        self.paths = _paths.pairs(self.fields, "rename")

    @property
    def reads(self) -> frozenset[str] | None:
        """The old names and the new ones."""
        return frozenset(path[0] for pair in self.paths for path in pair)

    @property
    def writes(self) -> frozenset[str] | None:
        """The same."""
        return self.reads

    def process_batch(self, records: list[Record]) -> list[Record]:
        """Move the fields of each record."""
        for record in records:
            for old, new in self.paths:
                if self.overwrite or _paths.get(record, new) is _paths.ABSENT:
                    _move(record, old, new)
        return records


def _move(record: Record, old: _paths.Path, new: _paths.Path) -> None:
    value = _paths.pop(record, old)
    if value is _paths.ABSENT:
        return
    try:
        _paths.put(record, new, value)
    except ValueError:
        _paths.put(record, old, value)
