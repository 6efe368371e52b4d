"""``include`` and ``exclude``: which files are meant, and which directories have to be watched to notice more.

A pattern is a path whose parts may hold ``*``, ``?`` and ``[...]``; ``**`` stands for any number of directories, at the
end for all files below. A relative one starts at the working directory; in ``exclude`` one without a slash is a name in
any directory, and so one that begins with ``**`` is a path below any. As in a shell a leading dot has to be written
out. ``**`` does not enter symbolic links to directories (they may lead in circles); a link that another part of the
pattern names is followed.
"""

import fnmatch
import os
import re
import stat
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

_MAGIC: Final = re.compile(r"[*?\[]")
_DEEP: Final = "**"
_BRACES: Final = re.compile(r"(?<!\[)\{[^{}/]*,[^{}]*\}")
_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://[^/]*(/.*)?")
Version = tuple[int, int, int]
"""Device, inode and time of change."""


@dataclass(slots=True, frozen=True)
class Sighting:
    """A path that the globs mean, and what stood there."""

    path: str
    where: str
    """The same path, or where it leads if it is a symbolic link."""
    info: os.stat_result
    pattern: str = ""
    line: str = ""
    """The path under which it was written, where that is another one: its name says that it was rotated."""
    away: bool = False
    """It does not stand under its path any more, but was renamed."""
    left: int = 0
    """When it was renamed, where that is known (see ``moves.Moved``)."""

    @property
    def file(self) -> tuple[int, int]:
        """What stood there: device and inode."""
        return self.info.st_dev, self.info.st_ino


def version(directory: str) -> Version | None:
    """What changes with every name that comes to a directory or leaves it, and with its rights; None: it is not there.

    Its time of change, not of modification: programs that copy trees set that one back.
    """
    try:
        info = os.stat(directory)
    except OSError:
        return None
    return info.st_dev, info.st_ino, info.st_ctime_ns


@dataclass(slots=True)
class Scan:
    """The globs expanded once."""

    files: dict[str, Sighting] = field(default_factory=dict)
    directories: dict[str, Version | None] = field(default_factory=dict)
    """Where something may appear that the globs mean, as it was when the look at it began."""
    strange: dict[str, Version | None] = field(default_factory=dict)
    """Directories where files of any name matter, because a link leads there; likewise."""
    problems: dict[str, OSError] = field(default_factory=dict)
    """Paths that could not be looked at."""
    began: float = 0.0
    ended: float = 0.0
    """When (monotonic)."""

    def watch(self, directory: str) -> None:
        """Something may appear in a directory; called before the look at it."""
        if directory not in self.directories:
            self.directories[directory] = version(directory)


class Globs:
    """The patterns of one source.

    :raises ValueError: a pattern is empty, names no file, or excludes nothing; or it is one of another program.
    """

    def __init__(self, include: Sequence[str], exclude: Sequence[str] = ()) -> None:
        for pattern in [*include, *exclude]:
            _refuse(pattern)
        _refuse_idle(include, exclude)
        self.include = {pattern: _split(pattern) for pattern in map(_absolute, include)}
        self._exclude = [
            _split(_absolute(pattern)) if _has_place(pattern) else _split(f"{_DEEP}/{pattern}") for pattern in exclude
        ]
        names = {part for parts in self.include.values() for part in parts if part != _DEEP}
        self._any_name = re.compile("|".join(f"(?:{fnmatch.translate(name)})" for name in sorted(names)))
        self.deep = any(_DEEP in parts[:-1] for parts in self.include.values())

    def matters(self, name: str) -> bool:
        """Whether a file of this name, in whatever directory, can change what ``scan`` finds."""
        return self._any_name.match(name) is not None

    def may_match(self, suffix: str) -> bool:
        """Whether some file whose name ends so can be meant, as far as that is easily told."""
        if [_DEEP, "*" + suffix] in self._exclude:
            return False
        names = {parts[-1] for parts in self.include.values()}
        return any(name.endswith(suffix) or name[-1] in "*?]" for name in names)

    def match(self, path: str) -> str | None:
        """The pattern that means this path; None when no pattern does, or one excludes it."""
        if self.excludes(path):
            return None
        names = _split(path)
        return next((pattern for pattern, parts in self.include.items() if _matches(parts, names, dots=False)), None)

    def excludes(self, path: str) -> bool:
        """Whether a pattern excludes this path."""
        return any(_matches(parts, _split(path), dots=True) for parts in self._exclude)

    def without(self, paths: Iterable[str]) -> list[str]:
        """The patterns that mean none of these paths."""
        names = [_split(path) for path in paths]
        return [p for p, parts in self.include.items() if not any(_matches(parts, n, dots=False) for n in names)]

    def scan(self) -> Scan:
        """Look at the directories now. Blocks: call it on a worker thread. Never raises for what it finds."""
        scan = Scan(began=time.monotonic())
        listings: dict[str, list[os.DirEntry[str]]] = {}
        for pattern, parts in self.include.items():
            self._walk(pattern, parts, scan, listings)
        scan.ended = time.monotonic()
        return scan

    def _walk(self, pattern: str, parts: list[str], scan: Scan, listings: dict[str, list[os.DirEntry[str]]]) -> None:
        level = ["/"]
        for part in parts[:-1]:
            if part == _DEEP:
                level = [below for top in level for below in _deep(top, scan, listings)]
            elif _MAGIC.search(part):
                matches = _part(part)
                level = [
                    entry.path
                    for top in level
                    for entry in _list(top, scan, listings)
                    if matches(entry.name) and _is_directory(entry)
                ]
            else:
                level = [path for top in level if (path := _literal(top, part, scan)) is not None]
        name = parts[-1]
        if not _MAGIC.search(name):
            for top in level:
                scan.watch(top)
                self._found(os.path.join(top, name), None, pattern, scan)
            return
        matches = _part(name)
        for top in level:
            for entry in _list(top, scan, listings):
                if matches(entry.name):
                    self._found(entry.path, entry, pattern, scan)

    def _found(self, path: str, entry: os.DirEntry[str] | None, pattern: str, scan: Scan) -> None:
        if path in scan.files or (self._exclude and self.match(path) is None):
            return
        where = path
        try:
            if os.path.islink(path) if entry is None else entry.is_symlink():
                where = os.path.realpath(path)
                directory = os.path.dirname(where)
                if directory not in scan.strange:
                    scan.strange[directory] = version(directory)
            info = os.stat(path) if entry is None else entry.stat()
        except (FileNotFoundError, NotADirectoryError):
            return  # it went away just now, or was not there, or the link leads nowhere
        except OSError as error:
            scan.problems[path] = error
            return
        if self.deep and stat.S_ISDIR(info.st_mode):
            return  # meant by ``**`` only on the way to files: nothing to warn of
        scan.files[path] = Sighting(path, where, info, pattern)


def _absolute(pattern: str) -> str:
    return os.path.abspath(os.path.expanduser(pattern))


def _has_place(exclude: str) -> bool:
    """Whether a pattern of ``exclude`` starts somewhere, and does not mean any directory."""
    return "/" in exclude and not exclude.startswith(f"{_DEEP}/")


def _refuse(pattern: str) -> None:
    """What could mean no file, or not what it seems to."""
    if not _split(pattern):
        raise ValueError("a pattern must name files, as in /var/log/app/*.log")
    if url := _URL.match(pattern):
        path = f"write the path alone, {url[2]}" if url[1].lower() == "file" and url[2] else "only paths can be read"
        raise ValueError(f"{pattern} is a URL: {path}")
    if _BRACES.search(pattern):
        raise ValueError(
            f"{pattern}: there are no alternatives in braces: write a pattern for each (a brace in a name is [{{])"
        )


def _refuse_idle(include: Sequence[str], exclude: Sequence[str]) -> None:
    """What seems to keep files here, and does not, is worse than an error."""
    if any(not os.path.isabs(os.path.expanduser(pattern)) for pattern in include):
        return
    for pattern in exclude:
        if _has_place(pattern) and not os.path.isabs(os.path.expanduser(pattern)):
            raise ValueError(
                f"exclude: {pattern} starts at the working directory, but no pattern of include does: write the whole "
                f"path, or {_DEEP}/{pattern.removeprefix('./')} for any directory"
            )


def _split(path: str) -> list[str]:
    parts = [part for part in path.split("/") if part]
    return [*parts, "*"] if parts[-1:] == [_DEEP] else parts


def _part(part: str) -> Callable[[str], object]:
    """What tells whether a name matches one part of a pattern."""
    match = re.compile(fnmatch.translate(part)).match
    if part.startswith("."):
        return match
    return lambda name: not name.startswith(".") and match(name)


def _matches(parts: Sequence[str], names: Sequence[str], *, dots: bool) -> bool:
    if not parts:
        return not names
    if parts[0] == _DEEP:
        if _matches(parts[1:], names, dots=dots):
            return True
        return bool(names) and (dots or not names[0].startswith(".")) and _matches(parts, names[1:], dots=dots)
    if not names or (not dots and names[0].startswith(".") and not parts[0].startswith(".")):
        return False
    return fnmatch.fnmatchcase(names[0], parts[0]) and _matches(parts[1:], names[1:], dots=dots)


def _literal(top: str, part: str, scan: Scan) -> str | None:
    """A directory that a pattern names without wildcards; where it is missing its parent is watched."""
    path = os.path.join(top, part)
    if os.path.isdir(path):
        return path
    scan.watch(top)
    return path if os.path.isdir(path) else None  # it may have come between the two


def _is_directory(entry: os.DirEntry[str], *, follow: bool = True) -> bool:
    try:
        return entry.is_dir(follow_symlinks=follow)
    except OSError:
        return False


def _list(top: str, scan: Scan, listings: dict[str, list[os.DirEntry[str]]]) -> list[os.DirEntry[str]]:
    """A directory's entries in the order of their names, looked up once a scan; the directory is to be watched."""
    entries = listings.get(top)
    if entries is None:
        scan.watch(top)
        try:
            with os.scandir(top) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            entries = []
        except OSError as error:
            scan.problems[top] = error
            entries = []
        listings[top] = entries
    return entries


def _deep(top: str, scan: Scan, listings: dict[str, list[os.DirEntry[str]]]) -> Iterator[str]:
    """A directory and all below it."""
    stack = [top]
    while stack:
        here = stack.pop()
        yield here
        entries = _list(here, scan, listings)
        stack += [e.path for e in reversed(entries) if not e.name.startswith(".") and _is_directory(e, follow=False)]
