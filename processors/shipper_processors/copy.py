"""Copy fields."""

from copy import deepcopy

from shipper import Processor, Record
from shipper_processors import _paths


class Copy(Processor):
    """Copy fields to other names.

    Where there is a field of the new name already it stays, unless ``overwrite`` is set; so it does where the new name
    leads through something that is no object. What is not there is not copied. The names are taken one after the other,
    in their order. Labels (``host``, ``file``, those of the config) are no fields: they cannot be copied.

    Example::

        processors:
          - copy: {fields: {message: original}}               # {"message": "x"} -> {"message": "x", "original": "x"}
          - copy: {fields: {request.user.id: user_id}, overwrite: true}
    """

    fields: dict[str, str]
    """The fields, each with the name of its copy. They are written as in a condition: ``http.status`` is inside
    ``http``, a name with a dot in it is ``field('a.b')``."""
    overwrite: bool = False
    """Replace a field of the new name."""

    def setup(self) -> None:
        """:raises ValueError: there is nothing to copy, or a name is none, or is to become itself."""
        self.paths = _paths.pairs(self.fields, "copy")

    @property
    def reads(self) -> frozenset[str] | None:
        """The fields, and the names of the copies."""
        return frozenset(path[0] for pair in self.paths for path in pair)

    @property
    def writes(self) -> frozenset[str] | None:
        """The names of the copies."""
        return frozenset(new[0] for _, new in self.paths)

    def process_batch(self, records: list[Record]) -> list[Record]:
        """Copy the fields of each record."""
        for record in records:
            for old, new in self.paths:
                if self.overwrite or _paths.get(record, new) is _paths.ABSENT:
                    _copy(record, old, new)
        return records


def _copy(record: Record, old: _paths.Path, new: _paths.Path) -> None:
    value = _paths.get(record, old)
    if value is _paths.ABSENT:
        return
    try:
        _paths.put(record, new, deepcopy(value) if isinstance(value, (dict, list)) else value)
    except ValueError:
        return
