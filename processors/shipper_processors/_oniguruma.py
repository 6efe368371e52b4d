r"""Regular expressions as Ruby and Logstash write them (Oniguruma), turned into Python's. Sans-IO.

What differs, and what becomes of it:

- ``(?<name>...)`` may have any name (``[http][status]``), also twice, so groups are numbered here, and the caller gets
  the names. Other parentheses do not capture, as in Oniguruma where there are named ones.
- ``^`` and ``$`` mean lines; ``\d``, ``\s``, ``\w``, ``\b`` mean ASCII; a dot matches newlines too, since Logstash
  gives every expression Ruby's option ``m``, which is Python's ``s``. These are flags.
- An option in the middle, ``a(?i)b|c``, holds to the end of the group around it, which is ``a(?i:b|c)``.
- ``a?*`` is ``a*``; a class may hold others.
- ``\h`` is a hexadecimal digit, ``\z`` the end, ``\R`` any end of a line; ``[[:alnum:]]`` and its like mean all of
  Unicode.
"""

import re
from collections.abc import Callable
from typing import Final

FLAGS: Final = re.MULTILINE | re.DOTALL | re.ASCII
"""Flags that the result has to be compiled with."""

_ESCAPES: Final = {
    "h": "[0-9A-Fa-f]",
    "H": "[^0-9A-Fa-f]",
    "z": r"\Z",
    "Z": r"(?=\n?\Z)",
    "R": r"(?>\r\n|[\n\v\f\r\u0085\u2028\u2029])",
    "e": r"\x1b",
}
_IN_CLASS: Final = {"h": "0-9A-Fa-f", "e": r"\x1b"}
_LETTERS: Final = r"\u00aa\u00b5\u00ba\u00c0-\u1fff\u2c00-\ud7ff\uf900-\ufdff\U00010000-\U0003ffff"
"""Most characters above ASCII that are letters or digits, and few others."""
_POSIX: Final = {
    "alnum": f"0-9A-Za-z{_LETTERS}",
    "alpha": f"A-Za-z{_LETTERS}",
    "word": rf"\w{_LETTERS}",
    "digit": "0-9",
    "xdigit": "0-9A-Fa-f",
    "lower": "a-zà-öø-ÿ",
    "upper": "A-ZÀ-ÖØ-Þ",
    "space": r"\s\u0085\u00a0\u2028\u2029",
    "blank": r" \t",
    "cntrl": r"\x00-\x1f\x7f",
    "punct": r"!-/:-@\[-`{-~",
    "graph": r"!-~\u00a1-\U0010ffff",
    "print": r" -~\u00a0-\U0010ffff",
    "ascii": r"\x00-\x7f",
}
_TOKEN: Final = re.compile(
    r"\\(?:k<(?P<back>[^>]+)>|(?P<escape>.))"
    r"|(?P<class>\[\^?\]?(?:\\.|\[:\w+:\]|\[\^?(?:\\.|\[:\w+:\]|[^\]\\\[])+\]|[^\]\\])*\])"
    r"|\(\?<(?P<name>(?![=!])[^>]+)>"
    r"|\((?P<special>\?(?:[=!>:]|<[=!]|\#[^)]*\)|(?P<options>[a-z-]+)(?P<scope>[:)])))"
    r"|(?P<open>\()|(?P<close>\))|(?P<twice>[?*+]\*)|.",
    re.DOTALL,
)
_MEMBER: Final = re.compile(
    r"\[:(?P<posix>\w+):\]|\\(?P<escape>.)|\[(?P<inner>(?:\\.|\[:\w+:\]|[^\]\\\[])+)\]|\[", re.DOTALL
)


def translated(text: str) -> tuple[str, list[str]]:
    """The same expression for ``re``, and the names of its capturing groups in their order.

    :raises ValueError: there is something in it that Python's expressions cannot say.
    """
    return _Translation(text).run()


class _Translation:
    """One expression on its way."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._names: list[str] = []
        self._options = [0]
        """For each open group how many options in its middle have to be closed with it."""

    def run(self) -> tuple[str, list[str]]:
        """What ``translated`` gives. :raises ValueError: see there."""
        kinds: dict[str | None, Callable[[re.Match[str]], str]] = {
            "back": self._reference,
            "escape": _escape,
            "class": _class,
            "name": self._named,
            "special": self._special,
            "open": self._open,
            "close": self._close,
            "twice": lambda _: "*",
        }
        made = [kinds.get(token.lastgroup, _itself)(token) for token in _TOKEN.finditer(self._text)]
        return "".join(made) + ")" * self._options[0], self._names

    def _reference(self, token: re.Match[str]) -> str:
        name = token["back"]
        if name not in self._names:
            raise ValueError(f"\\k<{name}> refers to a group that does not stand before it")
        return f"(?:\\{len(self._names) - self._names[::-1].index(name)})"

    def _named(self, token: re.Match[str]) -> str:
        self._names.append(token["name"])
        self._options.append(0)
        return "("

    def _special(self, token: re.Match[str]) -> str:
        if token["options"] is None:
            if token[0].startswith("(?#"):
                return ""
            self._options.append(0)
            return token[0]
        if token["scope"] == ":":
            self._options.append(0)
        else:
            self._options[-1] += 1
        return f"(?{_python_options(token['options'])}:"

    def _open(self, token: re.Match[str]) -> str:
        if token[0] == "(" and self._text.startswith("?", token.end()):
            raise ValueError(f"{self._text[token.start() : token.start() + 5]}... is no group that is known here")
        self._options.append(0)
        return "(?:"

    def _close(self, token: re.Match[str]) -> str:
        if len(self._options) == 1:
            raise ValueError(f"a parenthesis is closed that was not opened: {self._text[: token.end()][-40:]}")
        return ")" * (1 + self._options.pop())


def _itself(token: re.Match[str]) -> str:
    return token[0]


def _escape(token: re.Match[str]) -> str:
    letter = token["escape"]
    if letter in "pPgGXKQ":
        raise ValueError(f"\\{letter} is not known here; write the characters as a class, such as [A-Za-z]")
    if letter in "123456789":
        raise ValueError(f"\\{letter} refers to a group by its number; name the group and write \\k<name>")
    return _ESCAPES.get(letter, token[0])


def _class(token: re.Match[str]) -> str:
    text = token["class"]
    if "&&" in text:
        raise ValueError(f"{text}: && in a class is not known here; write the characters that are meant")
    return "[" + _MEMBER.sub(_member, text[1:-1]) + "]"


def _member(token: re.Match[str]) -> str:
    if token["posix"] is not None:
        if token["posix"] not in _POSIX:
            raise ValueError(f"{token[0]} is no class of characters; there are {', '.join(_POSIX)}")
        return _POSIX[token["posix"]]
    if token["escape"] is not None:
        if token["escape"] in "pPHR":
            raise ValueError(f"\\{token['escape']} in a class is not known here; write the characters that are meant")
        return _IN_CLASS.get(token["escape"], token[0])
    if token["inner"] is None:
        return f"\\{token[0]}"
    if token["inner"].startswith("^"):
        raise ValueError(f"{token[0]}: ^ inside a class is not known here; write the characters that are meant")
    return _MEMBER.sub(_member, token["inner"])


def _python_options(text: str) -> str:
    """``m`` is Python's ``s``; Python's own ``m`` always holds."""
    on, _, off = text.partition("-")
    if set(on + off) - set("imx"):
        raise ValueError(f"(?{text}) is not known here; there are the options i, m and x")
    on, off = on.replace("m", "s"), off.replace("m", "s")
    return f"{on}-{off}" if off else on
