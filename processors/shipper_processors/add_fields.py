"""Add constant fields."""

from typing import Any

from shipper import Processor, Record


class AddFields(Processor):
    """Add fields with fixed values to records that do not have them.

    Without ``where`` and ``overwrite`` the fields become labels of the batch: stored once, at no cost a record. A field
    of the record, or a label that is there already, always wins, unless ``overwrite`` is set.

    Example::

        processors:
          - add_fields: {fields: {team: payments, tier: 1}}
          - add_fields: {fields: {alert: true}, where: "level == 'fatal'"}
          - add_fields: {fields: {password: "***"}, overwrite: true, where: "exists(password)"}
    """

    fields: dict[str, str | int | float | bool | None]
    """The fields and their values: text, numbers, true, false or null. They are put at the top: a dot is a part of the
    name here, as these may become labels."""
    overwrite: bool = False
    """Replace the values of fields that are there already."""

    def setup(self) -> None:
        """:raises ValueError: there is nothing to add, or a number is too large."""
        if not self.fields:
            raise ValueError("fields is empty: name at least one, as in fields: {team: payments}")
        for name, value in self.fields.items():
            if isinstance(value, int) and not -(2**63) <= value < 2**64:
                raise ValueError(f"the value of {name} does not fit into 64 bits; write it in quotes")

    @property
    def reads(self) -> frozenset[str] | None:
        """Whether they are there."""
        return frozenset(self.fields)

    @property
    def writes(self) -> frozenset[str] | None:
        """All of them."""
        return frozenset(self.fields)

    def constants(self) -> dict[str, Any] | None:
        """All of them, if nothing is to be replaced."""
        return None if self.overwrite else dict(self.fields)

    def process_batch(self, records: list[Record]) -> list[Record]:
        """Add the fields to each record."""
        fields: Record = dict(self.fields)
        if self.overwrite:
            for record in records:
                record.update(fields)
            return records
        labels = self.labels
        fields = {name: value for name, value in fields.items() if name not in labels}
        for record in records:
            for name, value in fields.items():
                record.setdefault(name, value)
        return records
