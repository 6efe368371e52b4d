"""Remove fields."""

import re
from collections.abc import Callable
from fnmatch import translate
from typing import Any, TypeAlias

from shipper import Processor, Record
from shipper_processors import _paths

_Match: TypeAlias = Callable[[str], Any]


class Remove(Processor):
    """Take fields out of records.

    What is not there is not missed. An object whose fields are all removed stays, empty. Labels (``host``, ``file``,
    those of the config) are no fields: they stay.

    Example::

        processors:
          - remove: {fields: [password, http.headers.cookie]}   # {"user": "ann", "password": "x"} -> {"user": "ann"}
          - remove: {fields: ["debug_*", "kubernetes.labels.*"]}
    """

    fields: list[str]
    """The names, written as in a condition: ``http.status`` is inside ``http``, a name with a dot in it is
    ``field('a.b')``. ``*`` stands for any characters of a name but the dot, ``?`` for one; not within ``field()``."""

    def setup(self) -> None:
        """:raises ValueError: there is nothing to remove, or a name is none."""
        if not self.fields:
            raise ValueError("fields is empty: name at least one, as in fields: [password]")
        self.paths: list[_paths.Path] = []
        self.patterns: list[tuple[_paths.Path, list[_Match]]] = []
        for name in self.fields:
            path = _paths.parse(name)
            if name.startswith("field(") or not any(map(_is_pattern, path)):
                self.paths.append(path)
            else:
                plain = next(number for number, part in enumerate(path) if _is_pattern(part))
                self.patterns.append((path[:plain], [_matcher(part) for part in path[plain:]]))

    @property
    def reads(self) -> frozenset[str] | None:
        """The outermost names; perhaps any where a pattern stands for them."""
        return self.writes

    @property
    def writes(self) -> frozenset[str] | None:
        """The same."""
        if not all(path for path, _ in self.patterns):
            return None
        return frozenset(path[0] for path in (*self.paths, *(path for path, _ in self.patterns)))

    def process_batch(self, records: list[Record]) -> list[Record]:
        """Take the fields out of each record."""
        for record in records:
            for path in self.paths:
                _paths.pop(record, path)
            for path, matches in self.patterns:
                _remove(_paths.get(record, path), matches)
        return records


def _is_pattern(part: str) -> bool:
    return "*" in part or "?" in part


def _matcher(part: str) -> _Match:
    """A test of a whole name; brackets are ordinary characters."""
    return re.compile(translate(part.replace("[", "[[]"))).match


def _remove(value: Any, matches: list[_Match]) -> None:
    if not isinstance(value, dict):
        return
    found = [name for name in value if matches[0](name)]
    for name in found:
        if len(matches) == 1:
            del value[name]
        else:
            _remove(value[name], matches[1:])
