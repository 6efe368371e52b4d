"""Nested objects to fields of one level."""

from typing import Annotated, Any, Literal

from msgspec import Meta

from shipper import Processor, Record
from shipper_processors import _paths


class Flatten(Processor):
    """Take the fields of nested objects up to the top, with the way to them in their names.

    Objects that are deeper than ``depth`` stay objects, and empty ones stay as they are. Lists stay lists, unless
    ``lists`` is set. Where a field of the new name is there already, the one that is not nested stays (``collisions``).

    Example::

        processors:
          - flatten          # {"http": {"status": 200}} -> {"http.status": 200}
          - flatten: {separator: _, fields: [http, user], depth: 2}
    """

    separator: Annotated[str, Meta(max_length=10)] = "."
    """What stands between the names."""
    fields: list[str] | None = None
    """Flatten only these objects, by their names at the top. Without it all."""
    depth: Annotated[int, Meta(ge=1, le=50)] = 10
    """So many levels are taken up at most."""
    lists: bool = False
    """Take the items of lists up as well, by their numbers: ``tags.0``."""
    collisions: Literal["keep", "overwrite", "error"] = "keep"
    """Where two fields would have one name: the first stays, the last does, or it is an error of the record. Fields
    that were at the top come first."""
    max_fields: Annotated[int, Meta(ge=1, le=100_000)] = 1000
    """A record that would have more fields is an error."""

    def setup(self) -> None:
        """:raises ValueError: ``fields`` is empty or holds the name of a nested one."""
        if self.fields == []:
            raise ValueError("fields is empty: name at least one, or leave it out to flatten all")
        nested = [name for name in self.fields or () if len(_paths.parse(name)) > 1]
        if nested:
            raise ValueError(f"{nested[0]} is nested; flatten takes names at the top: {_paths.parse(nested[0])[0]}")
        self.roots = None if self.fields is None else {_paths.parse(name)[0] for name in self.fields}

    def process(self, record: Record) -> Record:
        """Flatten. :raises ValueError: two fields would have one name (``collisions``), or there are too many."""
        nested = [
            name
            for name, value in record.items()
            if (isinstance(value, dict) or (self.lists and isinstance(value, list)))
            and (self.roots is None or name in self.roots)
        ]
        if not nested:
            return record
        made = {name: value for name, value in record.items() if name not in nested}
        for name in nested:
            self.take_up(name, record[name], made)
        return made

    def take_up(self, prefix: str, value: Any, made: Record) -> None:
        """Put a nested value's fields into the record."""
        waiting = [(prefix, value, 0)]
        while waiting:
            name, inner, level = waiting.pop()
            items = list(inner.items()) if isinstance(inner, dict) else None
            if items is None and self.lists and isinstance(inner, list):
                items = list(enumerate(inner))
            if items and level < self.depth:
                waiting += [(f"{name}{self.separator}{key}", item, level + 1) for key, item in reversed(items)]
            elif name not in made:
                if len(made) >= self.max_fields:
                    raise ValueError(f"there would be more than {self.max_fields} fields; see max_fields and depth")
                made[name] = inner
            elif self.collisions == "error":
                raise ValueError(f"there would be two fields {name[:80]}")
            elif self.collisions == "overwrite":
                made[name] = inner
