"""Put a hash of a record into a field."""

from typing import Annotated

from msgspec import Meta

from shipper import Processor, Record
from shipper_processors import _digest, _paths
from shipper_processors._walk import paths_of, values_of


class Fingerprint(Processor):
    """Put a hash of some fields, or of the whole record, into a field: an id that equal records share everywhere.

    It is BLAKE2b (RFC 7693) over the values as JSON, in hexadecimal. The order of names in an object makes no
    difference; the types do: ``1`` and ``"1"`` have different hashes.

    Example::

        processors:
          - fingerprint: {fields: [service, message]}
          - fingerprint: {into: event_id, bytes: 16}                                   # the whole record
          - fingerprint: {fields: [user.email], into: user_id, key: "${file:id.key}"}  # nobody can guess whose
    """

    fields: list[str] | None = None
    """The fields that are hashed, in this order; nested ones as in a condition. One that is missing counts as null; a
    record that has none of them gets no hash. Without it all fields are hashed but ``timestamp`` and ``into``."""
    into: str = "fingerprint"
    """The field that gets the hash; what is there already is replaced."""
    bytes: Annotated[int, Meta(ge=4, le=64)] = 8
    """The length of the hash. In hexadecimal it is twice as long. Of 8 bytes, among a billion records two that differ
    have the same hash in 3 of 100 cases."""
    key: str | None = None
    """A secret of at least 16 characters: without it nobody can find out by trying what was hashed. Keep it in a file
    of its own: ``${file:PATH}``."""

    def setup(self) -> None:
        """:raises ValueError: a name is none, or the key is too short."""
        self.paths = paths_of(self.fields)
        self.target = _paths.parse(self.into)
        self.hash_key = _digest.key_of(self.key)

    @property
    def reads(self) -> frozenset[str] | None:
        """The fields that are hashed, and the one that gets the hash."""
        if self.fields is None:
            return None
        return frozenset(_paths.parse(name)[0] for name in (*self.fields, self.into))

    @property
    def writes(self) -> frozenset[str] | None:
        """The field that gets the hash."""
        return frozenset({_paths.parse(self.into)[0]})

    def process(self, record: Record) -> Record:
        """Hash, and put it there. :raises ValueError: what ``into`` goes through is no object."""
        values = self.values(record)
        if values is not None:
            _paths.put(record, self.target, _digest.digest(_digest.canonical(values), self.bytes, self.hash_key).hex())
        return record

    def values(self, record: Record) -> list[object] | None:
        """What is hashed; None: nothing is there."""
        if self.paths is None:
            left = {name: value for name, value in record.items() if name not in ("timestamp", self.target[0])}
            if self.target[1:] and self.target[0] in record:
                left[self.target[0]] = _without(record[self.target[0]], self.target[1:])
            return [left]
        return values_of(record, self.paths)


def _without(value: object, path: _paths.Path) -> object:
    """A value without one of the fields in it: it is hashed as if that had never been there."""
    if not isinstance(value, dict) or path[0] not in value:
        return value
    rest = {name: inner for name, inner in value.items() if name != path[0]}
    return rest | {path[0]: _without(value[path[0]], path[1:])} if path[1:] else rest
