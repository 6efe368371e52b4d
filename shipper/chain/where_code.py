"""A condition's syntax tree to the text of a Python expression. Sans-IO.

The text of a condition never becomes code: every node is checked, and generated code holds names and literals only as
the ``repr`` of a string or a number that was parsed. It can call nothing but what stands in ``_NAMES``.
"""

import ast
import operator
from typing import Any, Final, TypeAlias

from shipper.chain.where_text import Text
from shipper.chain.where_values import among, equal, number, ordered, within

MAX_DEPTH: Final = 50
"""A condition is nested at most so deep."""

_NAMES: Final[dict[str, Any]] = {
    "__builtins__": {},
    "isinstance": isinstance,
    "str": str,
    "dict": dict,
    "int": int,
    "frozenset": frozenset,
} | {f.__name__: f for f in (number, equal, ordered, among, within, operator.lt, operator.le, operator.gt, operator.ge)}
_LITERALS: Final = {"true": True, "false": False, "null": None}
_ORDER: Final = {ast.Lt: ("<", "lt"), ast.LtE: ("<=", "le"), ast.Gt: (">", "gt"), ast.GtE: (">=", "ge")}
_FLIPPED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<="}
_TEXT_TESTS: Final = {
    "contains": "{needle} in {text}",
    "startswith": "{text}.startswith({needle})",
    "endswith": "{text}.endswith({needle})",
}
_Literal: TypeAlias = "tuple[Any]"
"""A literal's value, boxed: ``None`` is a literal too."""


class Compiler:
    """Syntax trees to the text of Python expressions over ``r`` (a record), checked node by node. The code of several
    conditions can stand in one function.
    """

    _text: Text
    _patterns: dict[str, Any]

    def __init__(self) -> None:
        self._constants: dict[str, Any] = {}
        self.roots: dict[str, int] = {}
        self._temporaries = 0

    def scope(self) -> dict[str, Any]:
        """The global names of the code: all that it can reach."""
        return {**_NAMES, **self._constants}

    def prologue(self) -> str:
        """What is the same for every record: the labels that stand in for missing fields."""
        return "".join(
            f"    l{number} = labels.get({name!r})\n    e{number} = {name!r} in labels\n"
            for name, number in self.roots.items()
        )

    def whole(self, text: Text, patterns: dict[str, Any]) -> str:
        """Code that is True or False: a whole condition. ``patterns``: what its regular expressions are searched
        with, by their text; those that are not there yet are added.
        """
        self._text, self._patterns = text, patterns
        return self.condition(text.tree)

    def condition(self, node: ast.expr, depth: int = 0) -> str:
        """Code that is True or False."""
        if depth > MAX_DEPTH:
            raise self._text.error(node, "the condition is nested too deep")
        match node:
            case ast.BoolOp():
                word = " and " if isinstance(node.op, ast.And) else " or "
                return f"({word.join(self.condition(part, depth + 1) for part in node.values)})"
            case ast.UnaryOp(op=ast.Not()):
                return f"(not {self.condition(node.operand, depth + 1)})"
            case ast.Compare():
                left = [node.left, *node.comparators]
                pairs = zip(left, node.ops, node.comparators, strict=False)
                return f"({' and '.join(self._comparison(node, *pair, depth + 1) for pair in pairs)})"
            case ast.Name(id="true" | "false"):
                return node.id.capitalize()
            case ast.Call(func=ast.Name(id="exists")):
                return self._exists(node, depth + 1)
            case ast.Call(func=ast.Name(id="matches" | "contains" | "startswith" | "endswith" as name)):
                return self._text_test(name, node, depth + 1)
        self._value(node, depth)  # says what is wrong with it, if it is nothing at all
        said = self._text.segment(node)[:40]
        raise self._text.error(node, f"{said} is a value, not a condition: compare it, as in {said} == true")

    def _comparison(self, whole: ast.expr, left: ast.expr, op: ast.cmpop, right: ast.expr, depth: int) -> str:
        if isinstance(op, (ast.In, ast.NotIn)):
            code = self._membership(left, right, depth)
            return code if isinstance(op, ast.In) else f"(not {code})"
        a, b = self._literal(left), self._literal(right)
        if a is not None and b is not None:
            raise self._text.error(whole, "both sides are literals; a field's name is written without quotes")
        if isinstance(op, (ast.Eq, ast.NotEq)):
            if a is not None:
                left, a, b = right, b, a
            code = self._equality(self._value(left, depth), b) if b is not None else ""
            code = code or f"equal({self._value(left, depth)}, {self._value(right, depth)})"
            return code if isinstance(op, ast.Eq) else f"(not {code})"
        if type(op) not in _ORDER:
            raise self._text.error(whole, "`is` is not known here: write ==")
        sign, name = _ORDER[type(op)]
        if a is None and b is None:
            return f"ordered({name}, {self._value(left, depth)}, {self._value(right, depth)})"
        if a is not None:
            left, b, sign = right, a, _FLIPPED[sign]
        return self._order(whole, self._value(left, depth), sign, b[0] if b else None)

    def _equality(self, value: str, literal: "_Literal") -> str:
        wanted = literal[0]
        if wanted is None or isinstance(wanted, bool):
            return f"({value} is {wanted})"
        if wanted in (0, 1):  # Python's True equals 1
            name = self._temporary()
            return f"(({name} := {value}) == {wanted!r} and {name} is not {bool(wanted)})"
        return f"({value} == {wanted!r})"

    def _order(self, whole: ast.expr, value: str, sign: str, wanted: Any) -> str:
        name = self._temporary()
        if isinstance(wanted, str):
            return f"(isinstance({name} := {value}, str) and {name} {sign} {wanted!r})"
        if wanted is None or isinstance(wanted, bool):
            raise self._text.error(whole, "true, false and null have no order; compare them with == or !=")
        return f"((({name} := {value}).__class__ is int or number({name})) and {name} {sign} {wanted!r})"

    def _membership(self, left: ast.expr, right: ast.expr, depth: int) -> str:
        literal = self._literal(left)
        if not isinstance(right, (ast.List, ast.Tuple)):
            if self._literal(right) is not None:
                raise self._text.error(right, "`in` takes a list: level in ['error', 'fatal']")
            value = repr(literal[0]) if literal is not None else self._value(left, depth)
            return f"within({value}, {self._value(right, depth)})"
        if literal is not None:
            raise self._text.error(left, "a field stands on the left of a list, and its name without quotes")
        items = []
        for item in right.elts:
            boxed = self._literal(item)
            if boxed is None:
                raise self._text.error(item, "a list holds only literals: text in quotes, numbers, true, false, null")
            items.append(boxed[0])
        value = self._value(left, depth)
        if all(isinstance(item, str) for item in items):
            name, constant = self._temporary(), self._constant(frozenset(items))
            return f"(isinstance({name} := {value}, str) and {name} in {constant})"
        return f"among({value}, {self._constant(tuple(items))})"

    def _text_test(self, name: str, node: ast.Call, depth: int) -> str:
        first, second = self._arguments(name, node, 2, f"{name}(message, 'text')")
        if self._literal(first) is not None:
            raise self._text.error(first, f"the field comes first and without quotes: {name}(message, 'text')")
        text, value = self._temporary(), self._value(first, depth)
        boxed = self._literal(second)
        if name == "matches":
            return f"(isinstance({text} := {value}, str) and {self._pattern(second, boxed)}({text}) is not None)"
        if boxed is None:
            needle = self._temporary()
            test = _TEXT_TESTS[name].format(needle=needle, text=text)
            other = self._value(second, depth)
            return f"(isinstance({text} := {value}, str) and isinstance({needle} := {other}, str) and {test})"
        if not isinstance(boxed[0], str):
            raise self._text.error(second, f"{name}() looks for text: put it in quotes")
        return f"(isinstance({text} := {value}, str) and {_TEXT_TESTS[name].format(needle=repr(boxed[0]), text=text)})"

    def _pattern(self, node: ast.expr, boxed: "_Literal | None") -> str:
        if boxed is None or not isinstance(boxed[0], str):
            raise self._text.error(node, "matches() takes a regular expression in quotes")
        if any("\0" < character < "\t" for character in boxed[0]):
            raise self._text.error(node, r"`\b` in plain quotes is a control character: write r'\bword\b'")
        from shipper.patterns import Pattern  # few conditions have one

        try:
            if boxed[0] not in self._patterns:
                self._patterns[boxed[0]] = Pattern(boxed[0]).search
        except ValueError as error:
            raise self._text.error(node, str(error)) from None
        return self._constant(self._patterns[boxed[0]])

    def _exists(self, node: ast.Call, depth: int) -> str:
        (argument,) = self._arguments("exists", node, 1, "exists(name)")
        path = self._path(argument)
        if path is None:
            raise self._text.error(argument, "exists() takes a field's name")
        *parents, last = path
        if not parents:
            return f"({last!r} in r or e{self._root(last)})"
        name = self._temporary()
        return f"(isinstance({name} := {self._nested(parents, argument, depth)}, dict) and {last!r} in {name})"

    def _value(self, node: ast.expr, depth: int) -> str:
        """Code that is a field's value, or something made of it."""
        path = self._path(node)
        if path is not None:
            return self._nested(path, node, depth)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "lower":
            (argument,) = self._arguments("lower", node, 1, "lower(level)")
            if depth > MAX_DEPTH:
                raise self._text.error(node, "the condition is nested too deep")
            name = self._temporary()
            return f"({name}.lower() if isinstance({name} := {self._value(argument, depth + 1)}, str) else None)"
        raise self._text.complaint(node)

    def _nested(self, path: list[str], node: ast.expr, depth: int) -> str:
        if len(path) + depth > MAX_DEPTH:
            raise self._text.error(node, "the name is nested too deep")
        code = f"r.get({path[0]!r}, l{self._root(path[0])})"
        for part in path[1:]:
            name = self._temporary()
            code = f"({name}.get({part!r}) if isinstance({name} := {code}, dict) else None)"
        return code

    def _path(self, node: ast.expr) -> list[str] | None:
        """The parts of a field's name; None for what is not one."""
        parts: list[str] = []
        while isinstance(node, ast.Attribute):
            parts.insert(0, self._text.segment(node).rpartition(".")[2].strip())
            node = node.value
        if isinstance(node, ast.Name) and node.id not in _LITERALS:
            return [self._text.segment(node), *parts]
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "field":
            names = [self._literal(argument) for argument in node.args]
            if node.keywords or not names or not all(name is not None and isinstance(name[0], str) for name in names):
                raise self._text.error(node, "field() takes a name in quotes: field('@timestamp')")
            return [*(name[0] for name in names if name is not None), *parts]
        return None

    def _literal(self, node: ast.expr) -> "_Literal | None":
        match node:
            case ast.Constant(value=str() | int() | float() as value) if not isinstance(value, bool):
                number = value
            case ast.Name(id=name) if name in _LITERALS:
                return (_LITERALS[name],)
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
                number = -value
            case _:
                return None
        if number in (float("inf"), float("-inf")):
            raise self._text.error(node, "the number is too large")
        return (number,)

    def _arguments(self, name: str, node: ast.Call, count: int, example: str) -> list[ast.expr]:
        if len(node.args) != count or node.keywords:
            raise self._text.error(node, f"{name}() takes {count} argument{'s' * (count > 1)}: {example}")
        return node.args

    def _root(self, name: str) -> int:
        return self.roots.setdefault(name, len(self.roots))

    def _temporary(self) -> str:
        self._temporaries += 1
        return f"t{self._temporaries}"

    def _constant(self, value: Any) -> str:
        name = f"c{len(self._constants)}"
        self._constants[name] = value
        return name
