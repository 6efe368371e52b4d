"""Nodes -> sources, processors and sinks: the class by its type, the settings, the checks of their own."""

import re
from pathlib import Path
from typing import Any, Final

from shipper.config.decode import BAD, Decoder, found, join
from shipper.config.document import Mapping, Node, Scalar, Sequence
from shipper.config.forms import right_form
from shipper.config.model import ProcessorSpec
from shipper.config.problems import Place, quoted
from shipper.plugins import PROCESSOR, SINK, SOURCE, Finder, Kind, PluginError, known_names, nearest
from shipper.sinks.base import Sink
from shipper.sources.base import Source

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_NAME_RULE: Final = "a name is 1 to 64 letters, digits, '_', '-' and '.', the first a letter or digit"
_EVERYWHERE: Final = re.compile(r"(?:0\.0\.0\.0|\[?::0?\]?|\*)?:\d+")


class Builder:
    """Builds the components of one config."""

    def __init__(self, decoder: Decoder) -> None:
        self.warnings: list[str] = []
        self._decoder = decoder
        self._finder = Finder()
        self._processor_names: set[str] = set()
        self._claimed: dict[tuple[str, str], tuple[str, Place]] = {}
        """What a source or sink has alone, and which one has it where."""

    def reserve(self, address: str, path: str, place: Place) -> None:
        """An address that no source can listen on, because this part of the config does. Called before ``sources``."""
        self._claimed[SOURCE.noun, f"the address {address}"] = path, place

    def sources(self, node: Node) -> dict[str, Source]:
        """The sources by name; those with problems are left out."""
        return self._named(SOURCE, node)

    def sinks(self, node: Node) -> dict[str, Sink]:
        """The sinks by name; those with problems are left out."""
        return self._named(SINK, node)

    def processors(self, node: Node, path: str) -> list[ProcessorSpec]:
        """A list of processors; those with problems are left out."""
        if isinstance(node, Scalar) and node.null:
            return []
        if not isinstance(node, Sequence):
            self._bad(node.place, path, f"found {found(node)}, expected a list of processors, each '- name: settings'")
            return []
        specs = (self._processor(item, f"{path}[{n}]") for n, item in enumerate(node.items))
        return [spec for spec in specs if spec is not None]

    def labels(self, node: Node, path: str) -> dict[str, Any]:
        """Labels; those with problems are left out."""
        if isinstance(node, Scalar) and node.null:
            return {}
        if not isinstance(node, Mapping):
            self._bad(node.place, path, f"found {found(node)}, expected labels with values, as in 'env: prod'")
            return {}
        labels = {}
        for name, value in node.items.items():
            if isinstance(value, Scalar) and not value.null:
                labels[name] = self._decoder.decode(value, Any, join(path, name))
            else:
                self._bad(
                    value.place, join(path, name), f"found {found(value)}, expected text, a number, true or false"
                )
        return labels

    def _bad(self, place: Place, path: str, text: str) -> None:
        self._decoder.bad(place, path, text)

    def _named(self, kind: Kind, node: Node) -> dict[str, Any]:
        path = f"{kind.noun}s"
        if isinstance(node, Scalar) and node.null:
            node = Mapping(place=node.place)
        if not isinstance(node, Mapping):
            self._bad(node.place, path, f"found {found(node)}, expected {path} by name, each with its type")
            return {}
        if not node.items:
            self._bad(node.place, path, f"found none, expected at least one {kind.noun}")
        built = {}
        for name, item in node.items.items():
            step, place = join(path, name), node.keys[name]
            if not _NAME.fullmatch(name):
                self._bad(place, step, _NAME_RULE)
            component = self._one(kind, item, step, place)
            if component is not None:
                built[name] = component
        return built

    def _one(self, kind: Kind, node: Node, path: str, place: Place) -> Any:
        if not isinstance(node, Mapping):
            self._bad(node.place, path, f"found {found(node)}, expected a {kind.noun} with its 'type' and settings")
            return None
        own: dict[str, Any] = {}
        if kind is SOURCE:
            for key, read in (("labels", self.labels), ("processors", self.processors)):
                if key in node.items:
                    own[key] = read(node.items[key], f"{path}.{key}")
        cls = self._class_of(kind, node, path, place)
        if cls is None:
            return None
        component = self._build(kind, cls, node, path, place, frozenset({"type", *own}))
        if component is not None:
            for key, value in own.items():
                setattr(component, key, value)
            self._warn_if_open(component, node, path)
            for key, text in component.cautions():
                place = node.items[key].place if key in node.items else node.place
                self.warnings.append(f"{place}: {path}.{key}: {self._decoder.problems.redacted(text)}")
        return component

    def _class_of(self, kind: Kind, node: Mapping, path: str, place: Place) -> type[Any] | None:
        if "type" not in node.items:
            near = nearest("type", node.items)
            meant = f" (did you mean it by '{near}'?)" if near else ""
            text = f"found no 'type'{meant}, expected one of: {', '.join(known_names(kind))}"
            self._bad(node.keys[near] if near else place, path, text)
            return None
        name = self._decoder.decode(node.items["type"], str, f"{path}.type")
        if name is BAD:
            return None
        return self._find(kind, name, node.items["type"].place, f"{path}.type")

    def _find(self, kind: Kind, name: str, place: Place, path: str) -> type[Any] | None:
        try:
            return self._finder.find(kind, name, Path(place.file).parent)
        except PluginError as error:
            self._decoder.foreign(place, path, ValueError(error))
            return None

    def _build(self, kind: Kind, cls: type[Any], node: Mapping, path: str, place: Place, skip: frozenset[str]) -> Any:
        """The component, checked; None when there are problems."""
        fine = self._check_where(node, path)
        component = self._decoder.struct(cls, node, path, place, skip)
        if component is BAD or not fine:
            return None
        try:
            component.setup()
            if kind is PROCESSOR:
                try:
                    _check_methods(component)
                finally:
                    component.teardown()  # what setup opened for the check is opened again when the chain starts
            else:
                self._claim(kind, component, path, place)
        except Exception as error:  # noqa: BLE001 - code of others: whatever it raises, the config cannot be used
            self._decoder.foreign(place, path, error)
            return None
        return component

    def _claim(self, kind: Kind, component: Any, path: str, place: Place) -> None:
        """:raises ValueError: another component has what this one must have alone."""
        for claim in component.claims():
            first, there = self._claimed.setdefault((kind.noun, claim), (path, place))
            if first != path:
                raise ValueError(f"two cannot share {claim}; {first} has it, at {there}")

    def _check_where(self, node: Mapping, path: str) -> bool:
        where = node.items.get("where")
        if not isinstance(where, Scalar) or where.null:
            return True
        from shipper.chain.expression import Condition

        text = self._decoder.text(where, f"{path}.where")
        try:
            Condition.parse(getattr(text, "value", "true"))
        except ValueError as error:
            self._decoder.foreign(where.place, f"{path}.where", error)
            return False
        return True

    def _processor(self, node: Node, path: str) -> ProcessorSpec | None:
        if isinstance(node, Scalar) and not node.null:
            name, place = node.text, node.place
            body: Node = Mapping(place=place)
        elif isinstance(node, Mapping) and len(node.items) == 1:
            ((name, item),) = node.items.items()
            place = node.keys[name]
            body = Mapping(place=place) if isinstance(item, Scalar) and item.null else item
        else:
            self._bad(node.place, path, self._not_a_processor(node))
            return None
        path = join(path, name)
        cls = self._find(PROCESSOR, name, place, path)
        if not isinstance(body, Mapping):
            form = right_form(cls, body) if cls else ""
            hint = f"; write {name}: {form}" if form else ""
            self._bad(body.place, path, f"found {found(body)}, expected the settings of '{name}' by name{hint}")
            return None
        processor = self._build(PROCESSOR, cls, body, path, place, frozenset()) if cls else None
        if processor is None:
            return None
        return ProcessorSpec(name, self._unique(name), processor, str(place))

    def _not_a_processor(self, node: Node) -> str:
        text = f"found {found(node)}, expected a processor: '- name', or '- name: settings'"
        if isinstance(node, Mapping) and node.items:
            first = next(iter(node.items))
            if isinstance(node.items[first], Scalar):
                return f"{text}; indent the settings of {quoted(first)} further than its name"
            return f"{text}; give each its own '- '"
        return text

    def _unique(self, type_name: str) -> str:
        name = base = type_name.rpartition(":")[2]
        number = 1
        while name in self._processor_names:
            number += 1
            name = f"{base}_{number}"
        self._processor_names.add(name)
        return name

    def _warn_if_open(self, component: Any, node: Mapping, path: str) -> None:
        listen = getattr(component, "listen", None)
        if not isinstance(listen, str) or not is_everywhere(listen):
            return
        if not any(getattr(component, key, None) for key in ("tls", "tokens", "token")):
            place = node.items["listen"].place if "listen" in node.items else node.place
            text = "listens on every interface without TLS or tokens: whoever reaches the port can send"
            self.warnings.append(f"{place}: {path}.listen: {text}")


def _check_methods(processor: Any) -> None:
    """:raises ValueError: the engine could not call this processor."""
    import inspect

    from shipper.processor import Processor

    cls = type(processor)
    for name in ("process", "process_batch"):
        method = getattr(cls, name)
        if inspect.iscoroutinefunction(method) or inspect.isasyncgenfunction(method):
            raise ValueError(f"{cls.__name__}.{name} is 'async def', expected 'def': processors are synchronous")
    if cls.process is not Processor.process or cls.process_batch is not Processor.process_batch:
        return
    if processor.where is not None or processor.constants() is None:
        raise ValueError(f"{cls.__name__} must define process or process_batch")


def is_everywhere(listen: str) -> bool:
    """An address that takes connections from every interface."""
    return _EVERYWHERE.fullmatch(listen.strip()) is not None
