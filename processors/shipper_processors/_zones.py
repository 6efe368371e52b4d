"""The setting ``timezone`` of processors that read times."""

from datetime import tzinfo


def zone(name: str | None) -> tzinfo | None:
    """The zone of a name; None for none: that of this machine.

    :raises ValueError: there is no such zone.
    """
    if name is None:
        return None
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError  # what few configs need

    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"there is no time zone {name!r}; write one as Europe/Berlin, or UTC") from error
