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
_VALUE: Final = re.compile(r"""\s*(?:-\s+)*(?:[^\s'"\[{#][^'"#]*?:\s+)?(?P<value>.*?)\s*$""")
_FLOW_END: Final = re.compile(r",\s|[\]}]*\s*$")


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
    lines = text.splitlines() or [""]
    if isinstance(error, yaml.reader.ReaderError):
        at = text.count("\n", 0, error.position) + 1
        return at, f"holds the character {chr(int(error.character))!a}, which YAML does not allow"
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return 1, f"is not YAML: {' '.join(str(error).split())}"
    for mark in (error.context_mark, error.problem_mark):
        if mark is not None and mark.index < len(text) and text[mark.index] in _STARTS:
            return mark.line + 1, advice(text[mark.index :].split("\n", 1)[0])
    mark = error.problem_mark
    line = lines[mark.line] if mark.line < len(lines) else ""
    message = _message(error.problem or "", line, text[mark.index : mark.index + 1])
    if error.context_mark is not None and error.context_mark.line < mark.line:
        message += f" (what it belongs to starts in line {error.context_mark.line + 1})"
    return mark.line + 1, message


def _message(problem: str, line: str, character: str) -> str:
    match = _VALUE.fullmatch(line)
    value = match["value"] if match else ""
    if character == "\t" or line[: len(line) - len(line.lstrip())].count("\t"):
        return "a tab is no indentation in YAML; use spaces"
    if value[:1] in ("'", '"') and _after_closing_quote(value):
        whole = f"put the whole value in quotes: {in_quotes(value)}"
        return f"the value starts with a quote and goes on after the closing one; {whole}"
    if value[:1] in ("{", "[") and not value.endswith(("}", "]", ",")):
        return f"a value that starts with '{value[0]}' is a {_BRACKETS[value[0]]} in YAML; or put it in quotes: " + (
            in_quotes(value)
        )
    if "mapping values are not allowed" in problem:
        return f"a ': ' inside a value makes it a key; put the value in quotes: {in_quotes(value)}"
    if "could not find expected ':'" in problem:
        return f"found {quoted(line.strip())}, expected 'key: value' or a list item '- value'"
    if "expected <block end>" in problem:
        return f"found {quoted(line.strip())}; its indentation does not fit the lines above"
    if "found unexpected end of stream" in problem:
        return "a quote is opened and never closed"
    return f"is not YAML: {problem}"


_BRACKETS: Final = {"{": "mapping that ends with '}'", "[": "list that ends with ']'"}


def _after_closing_quote(value: str) -> bool:
    quote = value[0]
    body = r"(?:[^'\n]|'')*" if quote == "'" else r'(?:[^"\\\n]|\\.)*'
    match = re.match(f"{quote}{body}{quote}(?P<rest>.*)", value)
    return bool(match and match["rest"].strip() and not match["rest"].lstrip().startswith(("#", ",", "]", "}", ":")))


def _one_value(text: str) -> str:
    """The value without what follows it in ``[*.log, b]``; the brackets that it opened itself are its own."""
    text = re.sub(r"\s+#.*", "", text).rstrip()
    depth = 0
    for at, character in enumerate(text):
        depth += (character in "[{(") - (character in "]})")
        if depth < 0 or (depth == 0 and text[at : at + 2] == ", "):
            return text[:at].rstrip()
    return text
