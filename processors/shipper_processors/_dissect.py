"""The patterns of parse_dissect: ``%{name} - %{other}``, as Logstash and Beats write them. Sans-IO."""

import re
from typing import Final, NamedTuple

_PART: Final = re.compile(
    r"%\{(?P<sign>[+?*&]?)(?P<name>[^{}]*?)(?:/(?P<order>\d+))?(?P<padded>->)?\}(?P<delimiter>(?:(?!%\{).)*)", re.DOTALL
)
_NAME: Final = re.compile(r"(?:\[[^\[\]]+\])+|[^\[\]|]+")


class Part(NamedTuple):
    """A ``%{...}`` and the text behind it."""

    sign: str
    """Nothing, ``+`` (more of a field), ``?`` (skipped, or the name of another), ``&`` (named by what ``?`` found)."""
    name: str
    path: tuple[str, ...]
    order: int
    """Where the parts of one field are put together in another order than they stand in: its number."""
    padded: bool
    delimiter: str
    before: str
    """The delimiter before it: it joins the parts of a field."""


def parts_of(pattern: str, start: int) -> list[Part]:
    """:raises ValueError: the pattern cannot be read."""
    parts: list[Part] = []
    before = ""
    while start < len(pattern):
        match = _PART.match(pattern, start)
        if match is None:
            raise ValueError(f"{pattern[start : start + 40]} is not %{{name}}")
        sign, name = match["sign"].replace("*", "?"), match["name"]
        if name and not _NAME.fullmatch(name):
            raise ValueError(f"{match[0][:40]}: {name} is no field's name; types stand in the setting types")
        if not name and sign not in ("", "?"):
            raise ValueError(f"{match[0][:40]} has no name behind {match['sign']}")
        if parts and not before:
            raise ValueError(f"there is no delimiter before %{{{match['sign']}{name}}}")
        path = tuple(name[1:-1].split("][")) if name.startswith("[") else (name,)
        order = int(match["order"] or 0)
        delimiter = match["delimiter"]
        parts.append(Part(sign if name else "?", name, path, order, bool(match["padded"]), delimiter, before))
        before = delimiter
        start = match.end()
    _check(parts)
    return parts


def _check(parts: list[Part]) -> None:
    """:raises ValueError: a part refers to what is not there."""
    fields = {part.path for part in parts if part.sign in ("", "+")}
    for part in parts:
        if part.sign == "&" and not any(other.sign in ("", "?") and other.name == part.name for other in parts):
            raise ValueError(f"%{{&{part.name}}} needs a %{{?{part.name}}} that names its field")
        if part.sign == "" and sum(other.sign == "" and other.path == part.path for other in parts) > 1:
            raise ValueError(f"%{{{part.name}}} stands twice; write %{{+{part.name}}} for more of it")
        if part.sign in ("", "+") and any(part.path[:length] in fields for length in range(1, len(part.path))):
            raise ValueError(f"%{{{part.name}}} is inside of what is a text too; rename one of them")


def expression(prefix: str, parts: list[Part]) -> str:
    """What is quickest here: an expression that never has a choice, so ``re`` needs no longer than the text is long."""
    made = [re.escape(prefix)]
    for part in parts:
        names_another = any(other.sign == "&" and other.name == part.name for other in parts)
        captures = part.sign != "?" or names_another
        group = "({})" if captures else "(?:{})"
        delimiter = re.escape(part.delimiter)
        if not part.delimiter:
            made.append(group.format(".*"))
        else:
            first, more = re.escape(part.delimiter[0]), re.escape(part.delimiter[1:])
            passed = f"(?:{first}(?!{more})[^{first}]*)*+" if more else ""
            made.append(group.format(f"[^{first}]*{passed}") + delimiter)
        if part.padded and part.delimiter:
            made.append(f"(?:{delimiter})*+")
    return "".join(made) + (".*" if parts[-1].delimiter else "")
