"""From the name of a type in a config to its class.

A name is, in this order: the module of a standard component (``file`` -> ``shipper.sources.file``), an entry point of
an installed package, ``module:Class``, or ``./file.py:Class`` (relative to the config file). A standard module holds
exactly one public class of its kind, which names the base class in its ``class`` line: adding the file is all it takes.
Nothing is imported before a config names it; the heavy ``importlib.metadata`` only for a name that is not standard.
"""

import importlib
import importlib.util
import itertools
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Final

from shipper.errors import ShipperError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

_EXTRAS: Final = {"aiokafka": "kafka"}
"""Which extra of the distribution installs a module that a standard component imports."""
_STANDARD_NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
FILE_MODULE: Final = "shipper_file_"
"""How the names of modules begin that are made of files beside a config."""
_numbers = itertools.count()
"""For the modules of files: a class looks its annotations up by its module's name, which must be no other's."""


class PluginError(ShipperError):
    """A type cannot be had; the message says why and what to do."""


class NotInstalled(PluginError):
    """It needs a package that an extra of the distribution brings, and that is not here."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One of the three kinds of components."""

    noun: str
    package: str
    """The package of the standard components."""
    base_module: str
    base_name: str

    @property
    def group(self) -> str:
        """The entry point group for third parties."""
        return f"shipper.{self.noun}s"

    def base(self) -> type[Any]:
        """The class that every component of this kind extends."""
        base: type[Any] = getattr(importlib.import_module(self.base_module), self.base_name)
        return base


SOURCE: Final = Kind("source", "shipper.sources", "shipper.sources.base", "Source")
SINK: Final = Kind("sink", "shipper.sinks", "shipper.sinks.base", "Sink")
PROCESSOR: Final = Kind("processor", "shipper_processors", "shipper.processor", "Processor")
KINDS: Final = (SOURCE, PROCESSOR, SINK)


def standard_names(kind: Kind) -> list[str]:
    """The names of the standard components, sorted. Their files are read, not imported."""
    extends = re.compile(rf"^class [A-Z]\w*\((?:[\w.]+, *)*{kind.base_name}\b", re.MULTILINE)
    names = []
    for folder in map(Path, importlib.import_module(kind.package).__path__):
        for entry in folder.iterdir():
            files = [entry] if entry.suffix == ".py" else sorted(entry.glob("*.py"))
            if _STANDARD_NAME.fullmatch(entry.stem) and any(extends.search(f.read_text("utf-8")) for f in files):
                names.append(entry.stem)
    return sorted(names)


def known_names(kind: Kind) -> list[str]:
    """The names that a config can use here without a module or a file: standard ones and those of entry points."""
    return sorted({*standard_names(kind), *_entry_points(kind).names})


def standard_class(kind: Kind, name: str) -> type[Any] | None:
    """The class of a standard component; None when there is none of that name.

    :raises PluginError: it is there but cannot be imported.
    """
    module_name = f"{kind.package}.{name}"
    if not _STANDARD_NAME.fullmatch(name) or importlib.util.find_spec(module_name) is None:
        return None
    module = _import(module_name, f"{kind.noun} type '{name}'")
    base = kind.base()
    found = [
        value
        for key, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, base)
        and not key.startswith("_")
        and f"{value.__module__}.".startswith(f"{module_name}.")
    ]
    if len(found) > 1:
        names = ", ".join(sorted(value.__name__ for value in found))
        raise PluginError(f"{module_name} must hold exactly one public {kind.base_name}; it holds {names}")
    return found[0] if found else None


class Finder:
    """Finds the classes that the config files of one load name. A file of one's own is run once a load."""

    def __init__(self) -> None:
        self._files: dict[Path, ModuleType] = {}

    def find(self, kind: Kind, name: str, folder: Path) -> type[Any]:
        """The class of a type; ``folder`` is where the config file stands.

        :raises PluginError: there is no such type, or it cannot be imported, or it is not of this kind.
        """
        if ":" in name:
            return self._by_path(kind, name, folder)
        found = standard_class(kind, name)
        if found is not None:
            return found
        for entry_point in _entry_points(kind).select(name=name):
            return _checked(kind, _load(entry_point.load, f"{kind.noun} type '{name}'"), entry_point.value)
        raise PluginError(_unknown(kind, name))

    def _by_path(self, kind: Kind, name: str, folder: Path) -> type[Any]:
        where, _, class_name = name.rpartition(":")
        if not where:
            raise PluginError(f"'{name}' names no module; expected module:Class or ./file.py:Class")
        module = self._file(folder, where) if where.endswith(".py") else _import(where, f"'{name}'")
        if not hasattr(module, class_name):
            classes = [
                key
                for key, value in vars(module).items()
                if isinstance(value, type) and value.__module__ == module.__name__ and issubclass(value, kind.base())
            ]
            raise PluginError(f"{where} has no class '{class_name}'" + suggest(class_name, classes))
        return _checked(kind, getattr(module, class_name), name)

    def _file(self, folder: Path, where: str) -> ModuleType:
        path = (folder / where).absolute()
        if path in self._files:
            return self._files[path]
        if not path.is_file():
            raise PluginError(f"there is no file {path}")
        name = f"{FILE_MODULE}{next(_numbers)}_{path.stem}"
        spec = importlib.util.spec_from_file_location(name, path)
        if spec is None or spec.loader is None:
            raise PluginError(f"{path} is not a Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[name] = module  # the annotations of its classes are resolved there
        run = spec.loader.exec_module
        _load(lambda: run(module), where)
        self._files[path] = module
        return module


def nearest(word: str, known: Iterable[str]) -> str:
    """The known spelling that is nearest to a word; empty when none is near."""
    import difflib

    spellings = {name.lower().replace("-", "_"): name for name in known}
    near = difflib.get_close_matches(word.lower().replace("-", "_"), spellings, n=1, cutoff=0.6)
    return spellings[near[0]] if near else ""


def suggest(word: str, known: Iterable[str]) -> str:
    """What to add to a message about an unknown word: the nearest right spelling, and what is known."""
    names = sorted(known)
    near = nearest(word, names)
    hint = f"; did you mean '{near}'?" if near else ""
    return f"{hint}{' ' if near else '; '}known: {', '.join(names)}" if names else hint


def _unknown(kind: Kind, name: str) -> str:
    return f"there is no {kind.noun} type '{name}'" + suggest(name, known_names(kind))


def _checked(kind: Kind, found: Any, name: str) -> type[Any]:
    if isinstance(found, type) and issubclass(found, kind.base()):
        return found
    raise PluginError(f"'{name}' is not a {kind.base_name}: a {kind.noun} is a class that extends shipper's")


def _entry_points(kind: Kind) -> "EntryPoints":
    from importlib.metadata import entry_points

    return entry_points(group=kind.group)


def _import(module: str, what: str) -> ModuleType:
    found: ModuleType = _load(lambda: importlib.import_module(module), what)
    return found


def _load(load: Callable[[], Any], what: str) -> Any:
    """Run foreign code at import.

    :raises PluginError: it raised; whatever that was, the config cannot be used and the user must read why.
    """
    try:
        return load()
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing in _EXTRAS:
            extra = f"edge-shipper[{_EXTRAS[missing]}]"
            raise NotInstalled(f"{what} needs the package '{missing}': pip install '{extra}'") from error
        raise PluginError(f"{what} cannot be imported: {error}") from error
    except Exception as error:
        raise PluginError(f"{what} cannot be imported: {type(error).__name__}: {error}") from error
