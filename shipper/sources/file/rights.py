"""Why a path may not be read, and what helps: for people."""

import grp
import os
import stat
from functools import cache
from typing import Final

_READ: Final = 0o4
_ENTER: Final = 0o1


def advice(path: str) -> str:
    """What to do where reading a path is denied. Looks at the disk."""
    denied, info = _in_the_way(path)
    return told(path, denied, info.st_mode, info.st_gid)


def told(path: str, denied: str, mode: int, group: int) -> str:
    """The same; ``denied``: the path, or a directory on the way to it, with its mode and the number of its group."""
    directory = stat.S_ISDIR(mode)
    needed = (_READ if denied == path else 0) | (_ENTER if directory else 0)
    whose = "it" if denied == path else denied
    found = f"{whose} has mode {stat.S_IMODE(mode):04o} and group {_group(group)}"
    if mode & needed == needed:
        return f"{found}, which would allow it: look at SELinux, AppArmor and access control lists"
    # The group of root is for nobody else.
    if group and (mode >> 3) & needed == needed:
        return f"{found}: add the user to group {_group(group)}"
    letters = "rx" if directory else "r"
    return f"{found}: give the user the right to read it, as with setfacl -m u:USER:{letters} {denied}"


def _in_the_way(path: str) -> tuple[str, os.stat_result]:
    """What is denied: what the path leads to, or the first directory on the way that may not be entered."""
    while True:
        try:
            return path, os.stat(path)
        except OSError:
            path = os.path.dirname(path) or "/"  # the root can be looked at


@cache
def _group(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)
