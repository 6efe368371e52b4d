"""Going through all values of a record, however nested."""

from collections.abc import Callable, Iterator
from typing import Any

from shipper import Record
from shipper_processors import _paths


def paths_of(fields: list[str] | None) -> list[_paths.Path] | None:
    """The paths of a setting ``fields``, None where it is left out.

    :raises ValueError: it is empty, or one is no field's name.
    """
    if fields == []:
        raise ValueError("fields is empty: name at least one, or leave it out to take all")
    return None if fields is None else [_paths.parse(name) for name in fields]


def outermost(fields: list[str] | None) -> frozenset[str] | None:
    """The names at the top of them, for ``reads`` and ``writes``; None: perhaps any."""
    return None if fields is None else frozenset(_paths.parse(name)[0] for name in fields)


def _none(name: Any) -> bool:
    del name
    return False


def values_of(record: Record, paths: list[_paths.Path]) -> list[Any] | None:
    """The values of some fields, null for one that is missing; None where all are."""
    found = [_paths.get(record, path) for path in paths]
    if all(value is _paths.ABSENT for value in found):
        return None
    return [None if value is _paths.ABSENT else value for value in found]


def leaves(
    record: Record, paths: list[_paths.Path] | None, marks: Callable[[Any], bool] = _none
) -> Iterator[tuple[Any, Any, Any, bool]]:
    """Each value that is no object or list: what it is in, its name or number there, itself, and whether ``marks`` says
    yes to this name or to one that it is below. All of the record's, or those of some fields. Nothing may be changed
    before the end.
    """
    waiting: list[tuple[Any, list[tuple[Any, Any]], bool]] = []
    if paths is None:
        waiting.append((record, list(record.items()), False))
    for path in paths or ():
        parent = _paths.get(record, path[:-1])
        if isinstance(parent, dict) and path[-1] in parent:
            waiting.append((parent, [(path[-1], parent[path[-1]])], any(map(marks, path[:-1]))))
    for inner, pairs, below in waiting:  # it grows while it is gone through: no depth of a record is too much
        for key, value in pairs:
            marked = below or marks(key)
            if isinstance(value, dict):
                waiting.append((value, list(value.items()), marked))
            elif isinstance(value, list):
                waiting.append((value, list(enumerate(value)), marked))
            else:
                yield inner, key, value, marked


def copied(value: Any) -> Any:
    """A value that shares no object or list with the first."""
    if isinstance(value, dict):
        return {name: copied(inner) for name, inner in value.items()}
    return [copied(inner) for inner in value] if isinstance(value, list) else value
