"""The JSON Schema of config files, from the same classes that read them: for editors (``shipper check --schema``).

It knows the standard components. A type of somebody else (``./file.py:Class``) is let through: only ``shipper check``
has its class. Every value may also be text with an expansion in it, ``${VAR}``.
"""

import json
import re
from types import NoneType
from typing import Any, Final

from shipper import docs, plugins
from shipper.config.kinds import (
    bare,
    choices,
    is_struct,
    item_type,
    key_and_value_types,
    members,
    settings,
    shape,
)
from shipper.config.model import BUILT, NOT_IN_FILES, Config
from shipper.plugins import KINDS, PROCESSOR, Kind
from shipper.units import ByteSize, Duration, Share

_TEXT: Final = ["string", "number", "boolean"]
"""A text setting takes the scalar as written: an editor may see a number in it."""
_EXPANSION: Final = {"type": "string", "pattern": r"\$\{"}
_SIZE: Final = {
    "anyOf": [
        {"type": "integer", "minimum": 0},
        {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*([KMGTkmgt]?[Ii]?[Bb])?\s*$|\$\{"},
    ]
}
_DURATION: Final = {
    "anyOf": [{"const": 0}, {"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*(ms|s|m|h|d)\s*$|^\s*0+\s*$|\$\{"}]
}
_SHARE: Final = {"anyOf": [{"type": "string", "pattern": r"^\s*\d+(\.\d+)?\s*%\s*$"}, *_SIZE["anyOf"]]}
_SCALARS: Final[dict[Any, dict[str, Any]]] = {
    NoneType: {"type": "null"},
    ByteSize: _SIZE,
    Duration: _DURATION,
    Share: _SHARE,
}
_NUMBERS: Final = {int: "integer", float: "number", bool: "boolean"}
_LIMITS: Final = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}


def schema_text() -> str:
    """The schema as a file."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def schema() -> dict[str, Any]:
    """The schema of a config file."""
    definitions: dict[str, Any] = {}
    for kind in KINDS:
        for name in plugins.standard_names(kind):
            try:
                cls = plugins.standard_class(kind, name)
            except plugins.NotInstalled:
                continue  # a config that names it is refused here too
            if cls is not None:
                definitions[f"{kind.noun}.{name}"] = _component(kind, name, cls)
    definitions["processors"] = _processors(definitions)
    top = _struct(Config, skip=NOT_IN_FILES)
    top["properties"]["sources"] |= _by_name(plugins.SOURCE, definitions)
    top["properties"]["sinks"] |= _by_name(plugins.SINK, definitions)
    _refer_to_processors(top)
    top["required"] = []
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "The config of shipper"}
    return head | top | {"$defs": definitions}


def _component(kind: Kind, name: str, cls: type[Any]) -> dict[str, Any]:
    found = _struct(cls)
    if kind is not PROCESSOR:
        found["properties"] = {"type": {"const": name}} | found["properties"]
        found["required"] = ["type", *found["required"]]
    if kind is plugins.SOURCE:
        _refer_to_processors(found)
    return found


def _refer_to_processors(struct: dict[str, Any]) -> None:
    text = struct["properties"]["processors"]["description"]
    struct["properties"]["processors"] = {"description": text, "$ref": "#/$defs/processors"}


def _by_name(kind: Kind, definitions: dict[str, Any]) -> dict[str, Any]:
    """Components by name: which settings one has follows from its type."""
    names = [key.partition(".")[2] for key in definitions if key.startswith(f"{kind.noun}.")]
    cases = [
        {
            "if": {"properties": {"type": {"const": name}}, "required": ["type"]},
            "then": {"$ref": f"#/$defs/{kind.noun}.{name}"},
        }
        for name in names
    ]
    one = {
        "type": "object",
        "required": ["type"],
        "properties": {"type": {"anyOf": [{"enum": names}, {"type": "string"}]}},
        "allOf": cases,
    }
    return {"type": "object", "additionalProperties": one}


def _processors(definitions: dict[str, Any]) -> dict[str, Any]:
    names = [key.partition(".")[2] for key in definitions if key.startswith("processor.")]
    with_settings = {
        "type": "object",
        "minProperties": 1,
        "maxProperties": 1,
        "properties": {name: {"anyOf": [{"$ref": f"#/$defs/processor.{name}"}, {"type": "null"}]} for name in names},
        "patternProperties": {":": {"type": ["object", "null"]}},
    }
    by_name = {"anyOf": [{"enum": names}, {"type": "string"}]}
    return {"type": ["array", "null"], "items": {"anyOf": [by_name, with_settings]}}


def _struct(cls: type[Any], skip: frozenset[str] = frozenset()) -> dict[str, Any]:
    properties = {}
    required = []
    by_name = {field.encode_name: field for field in settings(cls)}
    for setting in docs.describe(cls):
        if setting.name in skip:
            continue
        takes = "" if cls is Config and setting.name in BUILT else f"Takes {setting.words}."
        text = " ".join(filter(None, [_plain(setting.text), takes]))
        properties[setting.name] = {"description": text} | _type(setting.type)
        if setting.default:
            properties[setting.name]["default"] = _json(docs.default_value(by_name[setting.name]))
        if setting.required:
            required.append(setting.name)
    return {
        "type": "object",
        "description": _plain(docs.lead(cls)),
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def _plain(text: str) -> str:
    """Documentation on one line, without the marks of code in it."""
    return re.sub(r"\s+", " ", text.replace("``", "`")).strip()


def _json(value: Any) -> Any:
    if isinstance(value, (ByteSize, Duration)):
        return str(value)
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_json(item) for item in value]
    return value if isinstance(value, (str, int, float, bool, dict)) else str(getattr(value, "pattern", value))


def _type(hint: Any) -> dict[str, Any]:
    variants = [_one(member) for member in members(hint)]
    if any(not variant for variant in variants):
        return {}  # anything goes
    return variants[0] if len(variants) == 1 else {"anyOf": variants}


def _one(hint: Any) -> dict[str, Any]:
    form = shape(hint)
    if form == "list":
        return {"type": ["array", "null"], "items": _type(item_type(hint))}
    if form == "mapping":
        if is_struct(bare(hint)[0]):
            return _struct(bare(hint)[0]) | {"type": ["object", "null"]}
        return {"type": ["object", "null"], "additionalProperties": _type(key_and_value_types(hint)[1])}
    return {} if form == "any" else _scalar(hint)


def _scalar(hint: Any) -> dict[str, Any]:
    hint, bounds = bare(hint)
    allowed = choices(hint)
    if allowed is not None:
        return {"anyOf": [{"enum": allowed}, _EXPANSION]}
    if hint in _NUMBERS:
        limits = {word: getattr(meta, key) for meta in bounds for key, word in _LIMITS.items()}
        limits = {word: limit for word, limit in limits.items() if limit is not None}
        return {"anyOf": [{"type": _NUMBERS[hint]} | limits, _EXPANSION]}
    return dict(_SCALARS.get(hint, {"type": list(_TEXT)}))
