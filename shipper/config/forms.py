"""Settings that were written without the name of the one they belong to: how they are written."""

from typing import Any, Final

import msgspec

from shipper.config.document import Mapping, Node, Scalar, Sequence
from shipper.config.kinds import members, settings, shape
from shipper.config.syntax import in_quotes

_LENGTH: Final = 60
"""What is longer is shown as dots."""
_PLAIN: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-")


def right_form(cls: type[Any], node: Node) -> str:
    """``{fields: [a]}`` for a class whose one required setting is a list ``fields``; empty where nothing fits."""
    setting = _required(cls)
    if setting is None:
        return ""
    shapes = {shape(member) for member in members(setting.type)}
    wanted = "list" if isinstance(node, Sequence) else "mapping" if isinstance(node, Mapping) else "scalar"
    if wanted in shapes:
        return f"{{{setting.encode_name}: {_written(node)}}}"
    return f"{{{setting.encode_name}: [{_written(node)}]}}" if wanted == "scalar" and "list" in shapes else ""


def lacks_a_name(cls: type[Any], node: Mapping, unknown: list[str]) -> bool:
    """Whether keys that are no settings are what the one required setting holds, which is missing."""
    setting = _required(cls)
    if setting is None or setting.encode_name in node.items or shape(setting.type) != "mapping":
        return False
    # A block of settings would be one whose own name was misspelled.
    return bool(unknown) and all(isinstance(node.items[key], Scalar) for key in unknown)


def _required(cls: type[Any]) -> msgspec.structs.FieldInfo | None:
    """The one setting that a config must give, where there is one. Of processors that choose, ``where``."""
    chooses = getattr(cls, "selects", None) is not None
    found = [setting for setting in settings(cls) if (setting.name == "where" if chooses else setting.required)]
    return found[0] if len(found) == 1 else None


def _written(node: Node) -> str:
    """A value as YAML on one line."""
    match node:
        case Scalar():
            text = node.text if node.plain and _PLAIN.issuperset(node.text) else in_quotes(node.text)
        case Sequence():
            text = f"[{', '.join(map(_written, node.items))}]"
        case Mapping():
            text = f"{{{', '.join(f'{key}: {_written(value)}' for key, value in node.items.items())}}}"
        case _:
            text = "..."
    return text if len(text) <= _LENGTH else "..."
