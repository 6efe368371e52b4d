"""Reading a condition: text to a Python syntax tree, with advice for what other languages write. Sans-IO.

Conditions are a subset of Python's expressions, so ``ast`` reads them; what it reads is data, nothing is executed.
Before that the text is scanned for what people are used to from elsewhere (``&&``, ``=``, ``@timestamp``), because the
parser's own words for it would not help anybody.
"""

import ast
import keyword
import re
import warnings
from typing import Final

MAX_LENGTH: Final = 16 * 1024
"""A condition has at most so many characters. It bounds the parser's stack too."""

_TOKENS: Final = re.compile(
    r"""(?P<string>[A-Za-z]{0,2}(?P<quote>['"])(?:\\.|(?!(?P=quote)|\\).)*(?P=quote))
    | (?P<fine>==(?!=)|!=(?!=)|<=|>=) | (?P<operator>&&?|\|\|?|===|!==|=~|!~|<>|=|!|\#|\?|`)
    | (?P<odd>[@$][\w.@$-]*) | (?P<word>[^\W\d]\w*)""",
    re.VERBOSE | re.DOTALL,
)
_OPERATORS: Final = {
    "&&": "and",
    "&": "and",
    "||": "or",
    "|": "or",
    "=": "==",
    "===": "==",
    "!==": "!=",
    "<>": "!=",
    "!": "not",
    "=~": "matches(field, 'regular expression')",
    "!~": "not matches(field, 'regular expression')",
}
_WORDS: Final = {
    **{spelling: word for word in ("and", "or", "not", "in") for spelling in (word.upper(), word.capitalize())},
    **{spelling: word for word in ("true", "false", "null") for spelling in (word.upper(), word.capitalize())},
    "None": "null",
    "is": "==",
}
_TESTS: Final = ("contains", "startswith", "endswith", "matches", "exists")
FUNCTIONS: Final = (*_TESTS, "lower", "field")
_ALLOWED_KEYWORDS: Final = frozenset(("and", "or", "not", "in"))


class Text:
    """A condition's text, its syntax tree, and where in it something stands."""

    def __init__(self, source: str) -> None:
        """:raises ValueError: the text is not an expression."""
        if len(source) > MAX_LENGTH:
            raise ValueError(f"a condition of {len(source)} characters is too long; at most {MAX_LENGTH}")
        stripped = source.strip()
        self._skipped = len(source) - len(source.lstrip())
        # A YAML block may break a condition over lines; in Python that would end it.
        self._text = re.sub(r"\s", " ", stripped)
        if not stripped:
            raise ValueError("the condition is empty; write one such as level == 'error'")
        self._advise()
        self._bytes = self._text.encode("utf-8", "replace")
        try:
            with warnings.catch_warnings():  # '\d' in a pattern is what people write
                warnings.simplefilter("ignore")
                self.tree: ast.expr = ast.parse(self._text, mode="eval").body
        except SyntaxError as error:
            self._cannot_read(error)
        except (RecursionError, MemoryError):
            raise ValueError("the condition cannot be read: it is nested too deep") from None
        except ValueError as error:  # lone surrogates
            raise ValueError(f"the condition cannot be read: {error}") from None

    def segment(self, node: ast.expr) -> str:
        """The text of a node: names as they were written (Python would normalise them)."""
        return self._bytes[node.col_offset : node.end_col_offset].decode("utf-8", "replace")

    def complaint(self, node: ast.expr) -> ValueError:
        """What is wrong with something that is not in the language."""
        return self.error(node, _complaint(node, self.segment(node)))

    def error(self, node: ast.expr, message: str) -> ValueError:
        """An error that says where."""
        return self._at(len(self._bytes[: node.col_offset].decode("utf-8", "replace")), message)

    def _at(self, index: int, message: str) -> ValueError:
        return ValueError(f"column {index + self._skipped + 1}: {message}")

    def _advise(self) -> None:
        """:raises ValueError: the text holds something that another language would take."""
        for token in _TOKENS.finditer(self._text):
            kind, found = token.lastgroup, token[0]
            if kind == "operator":
                right = _OPERATORS.get(found)
                advice = f"write {right}" if right else "it means nothing in a condition"
                raise self._at(token.start(), f"`{found}` is not known here: {advice}")
            if kind == "odd":
                raise self._at(token.start(), f"an odd name is written field('{found}')")
            if kind == "word" and found in _WORDS:
                raise self._at(token.start(), f"`{found}` is written {_WORDS[found]} here")
            if kind == "word" and keyword.iskeyword(found) and found not in _ALLOWED_KEYWORDS:
                raise self._at(token.start(), f"`{found}` cannot stand here; a field of that name is field('{found}')")

    def _cannot_read(self, error: SyntaxError) -> None:
        """:raises ValueError: always."""
        index = min(error.offset - 1, len(self._text)) if error.offset else len(self._text)
        if "nested" in error.msg:
            raise self._at(index, "it is nested too deep") from None
        if "unterminated string" in error.msg:
            raise self._at(index, "the quote that begins here is never closed") from None
        rest = self._text[index : index + 20]
        said = "" if error.msg.startswith("invalid syntax") else f" ({error.msg})"
        where = f"cannot be read from here on: {rest}" if rest else "something is missing at the end"
        raise self._at(index, where + said) from None


def _complaint(node: ast.expr, said: str) -> str:
    brief = said if len(said) <= 40 else said[:40] + "..."
    match node:
        case ast.BinOp(op=ast.Sub()) if re.fullmatch(r"[^\W\d][\w.-]*", said):
            names = ", ".join(f"'{part}'" for part in said.split("."))
            return f"there is no arithmetic here; a field of that name is written field({names})"
        case ast.BinOp() | ast.UnaryOp():
            return f"there is no arithmetic here: {brief}"
        case ast.Call(func=ast.Attribute(attr=name)) if name in FUNCTIONS:
            return f"a function stands before its field: {name}({brief.partition('.' + name)[0]}, ...)"
        case ast.Call(func=ast.Name(id=name)) if name in (
            "contains",
            "startswith",
            "endswith",
            "matches",
            "exists",
        ):
            return f"{name}() is a condition by itself: it cannot be compared"
        case ast.Call():
            return f"{brief} calls no known function; there are {', '.join(FUNCTIONS)}"
        case ast.Subscript():
            return "nested fields are written with dots, odd names as field('http', 'user-agent')"
        case ast.Constant() | ast.Name():
            return f"a field's name belongs here, not {brief}"
        case ast.BoolOp() | ast.Compare():
            return f"a condition cannot be compared: {brief}"
        case ast.List() | ast.Tuple() | ast.Set():
            return "a list stands only to the right of `in`"
    return f"this is not part of the language: {brief}"
