"""What a YAML syntax error means for somebody who wrote a log pattern and not a program."""

import re
from typing import Final

import yaml

from shipper.config.problems import quoted

_STARTS: Final = {
    "*": "an alias",
    "&": "an anchor",
    "!": "a tag",
    "%": "a directive",
    "@": "something reserved",
    "`": "something reserved",
}
_BRACKETS: Final = {"{": "a mapping that ends with '}'", "[": "a list that ends with ']'"}
_LINE: Final = re.compile(r"""\s*(?:-\s+)*(?P<key>[^\s'"\[{#][^'"#]*?:\s+)?(?P<value>.*)""")
_EXPANSION: Final = re.compile(r"[^\s,\[\]{}'\"]*\$\{[^{}\s]*\}?[^,}\]\s]*")
_MISFIT: Final = "its indentation does not fit the lines above"


def advice(value: str) -> str:
    """Tell the user to quote a value; it is what stands from its first character to the end of the line."""
    text = _one_value(value)
    start = f"a value that starts with '{text[0]}' is {_STARTS[text[0]]} in YAML; " if text[:1] in _STARTS else ""
    return f"{start}put it in quotes: {in_quotes(text)}"


def in_quotes(text: str) -> str:
    """The text in the quotes of YAML that need the least escaping."""
    return "'" + text.replace("'", "''") + "'" if '"' in text or "\\" in text else f'"{text}"'


def explain(error: yaml.YAMLError, text: str) -> tuple[int, str]:
    """The line (from 1) and the message for what PyYAML found."""
    if isinstance(error, yaml.reader.ReaderError):
        at = text.count("\n", 0, error.position) + 1
        return at, f"holds the character {chr(int(error.character))!a}, which YAML does not allow"
    mark = getattr(error, "problem_mark", None)
    if not isinstance(error, yaml.MarkedYAMLError) or mark is None:
        return 1, f"is not YAML: {' '.join(str(error).split())}"
    start = error.context_mark or mark
    problem = error.problem or ""
    if "unexpected end of stream" in problem:
        return start.line + 1, "the quote that is opened here is never closed"
    if "could not find expected ':'" in problem:
        found = quoted(_line(text, start.line).strip())
        return start.line + 1, f"found {found}, expected 'key: value' or a list item '- value'"
    message = (
        _about_expansion(_line(text, mark.line), mark.column)
        or _about_value(_line(text, mark.line))
        or _about_marks([start, mark], text)
    )
    if not message and problem.startswith("expected ',' or"):
        opened = f"the '{text[start.index]}' that is opened here"
        return start.line + 1, f"{opened} is not closed before line {mark.line + 1}"
    return mark.line + 1, message or _about_place(problem, _line(text, mark.line), mark.column)


def _line(text: str, number: int) -> str:
    lines = text.split("\n")
    return lines[number].rstrip("\r") if number < len(lines) else ""


def _about_expansion(line: str, column: int) -> str:
    """``{site: ${SITE}}``: in braces and brackets YAML sees an opening brace of its own."""
    for match in _EXPANSION.finditer(line):
        if match.start() <= column < match.end():
            return f"a value with '${{' inside of {{ }} or [ ] needs quotes: {in_quotes(match[0])}"
    return ""


def _about_value(line: str) -> str:
    """What is wrong with the value of the line where YAML stumbled; empty when it looks right."""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "a tab is no indentation in YAML; use spaces"
    match = _LINE.fullmatch(line)
    value = _without_comment(match["value"]) if match else ""
    if value[:1] in _STARTS:
        return advice(value)
    if value[:1] in ("'", '"') and _goes_on(value):
        inner = value[1:-1]
        whole = inner if value[-1] == "'" and inner.count("'") == 1 and '"' not in inner else value
        text = "the value starts with a quote and goes on after the closing one; put the whole value in quotes: "
        return text + in_quotes(whole)
    if value[:1] in _BRACKETS and not value.endswith(("}", "]", ",", value[0])):
        return f"a value that starts with '{value[0]}' is {_BRACKETS[value[0]]}; if it is text, {advice(value)}"
    return ""


def _about_marks(marks: list[yaml.Mark], text: str) -> str:
    """A character in the middle of a line that YAML takes for something else: ``[*.log]``."""
    for mark in marks:
        if text[mark.index : mark.index + 1] in _STARTS and mark.index < len(text):
            return advice(text[mark.index :].split("\n", 1)[0])
    return ""


def _about_place(problem: str, line: str, column: int) -> str:
    match = _LINE.fullmatch(line)
    value = _without_comment(match["value"]) if match else ""
    if "mapping values are not allowed" in problem:
        if match and match["key"] and match.end("key") > column:
            return f"found {quoted(line.strip())}; {_MISFIT}"
        return f"a ': ' inside a value makes it a key; {advice(value)}"
    if "sequence entries are not allowed" in problem:
        return f"found {quoted(line.strip())}; a list starts on a line of its own, or is written as [a, b]"
    if "expected <block end>" in problem:
        return f"found {quoted(line.strip())}; {_MISFIT}"
    if "escape" in problem:
        return f"a backslash in double quotes is special; use single quotes: '{value.strip(chr(34))}'"
    if value:
        return f"found {quoted(line.strip())}, which is not YAML ({problem}); if the value is text, {advice(value)}"
    return f"is not YAML: {problem}"


def _goes_on(value: str) -> bool:
    """Something stands after the quote that closes the one at the start."""
    body = r"(?:[^'\n]|'')*" if value[0] == "'" else r'(?:[^"\\\n]|\\.)*'
    match = re.match(f"{value[0]}{body}{value[0]}(?P<rest>.*)", value)
    return bool(match and match["rest"].strip() and not match["rest"].lstrip().startswith((",", "]", "}", ":")))


def _without_comment(text: str) -> str:
    return re.sub(r"(^|\s+)#.*", "", text).rstrip()


def _one_value(text: str) -> str:
    """The value without what follows it in ``[*.log, b]``; the brackets that it opened itself are its own."""
    text = _without_comment(text)
    depth = 0
    for at, character in enumerate(text):
        depth += (character in "[{(") - (character in "]})")
        if depth < 0 or (depth == 0 and text[at : at + 2] == ", "):
            return text[:at].rstrip() or text
    return text
