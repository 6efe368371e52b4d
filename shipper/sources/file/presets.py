r"""The multiline presets: which lines go on a record, for the stack traces of some languages.

A preset looks at one line at a time, and at what came before it in its record; never at what comes after. So the
records are the same however the lines are read, and each line is judged once.

- ``always``: how a line begins that goes on whatever came before it.
- ``rules``: lines that go on in some places only. The first rule decides whose ``line`` matches, whose ``after`` holds
  the state of the record so far (None: any) and whose ``last`` matches the line before. A line that goes on sets the
  state to ``state``. A line that begins a record sets it to that of the first rule that ``begins`` and whose ``line``
  matches; else it is empty.

Written after what the runtimes print; ``tests/sources/file/traces`` holds an example of each.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(slots=True, frozen=True)
class Rule:
    """See above."""

    line: bytes
    state: str = ""
    after: frozenset[str] | None = None
    last: bytes = b""
    begins: bool = False
    goes_on: bool = True


@dataclass(slots=True, frozen=True)
class Preset:
    """See above."""

    always: bytes
    rules: tuple[Rule, ...] = ()


def _after(*states: str) -> frozenset[str]:
    return frozenset(states)


_BLANK: Final = rb"\r?\Z"
_JVM_GOES_ON: Final = rb"[ \t]|Caused by: |Suppressed: |Wrapped by: |\.\.\. "
# A class in a package at the very beginning of a line: loggers print the exception on a line of its own, after theirs.
_JVM_EXCEPTION: Final = rb"(?:[A-Za-z_$][\w$]{0,60}\.){1,16}[\w$]{0,120}(?:Exception|Error|Throwable|Failure)\b"
_NET_GOES_ON: Final = rb"[ \t]|--- End of |---> "
_NET_EXCEPTION: Final = rb"(?:[A-Za-z_]\w{0,60}\.){1,16}\w{0,120}(?:Exception|Error)(?:`\d+)?\b"
_PY_NAME: Final = rb"[A-Za-z_]\w{0,60}(?:\.[A-Za-z_<]\w{0,60}>?){0,16}"
_RUBY_PLACE: Final = rb"\S{1,200}:\d+:in ['`]"
_RUBY_ERROR: Final = _RUBY_PLACE + rb".*\([A-Z][\w:]*\)\r?\Z"

PRESETS: Final[dict[str, Preset]] = {
    "indent": Preset(rb"[ \t]"),
    "java": Preset(
        _JVM_GOES_ON, (Rule(_JVM_EXCEPTION, last=rb"(?!" + _JVM_GOES_ON + rb"|" + _JVM_EXCEPTION + rb"|\r?\Z)"),)
    ),
    "dotnet": Preset(
        _NET_GOES_ON, (Rule(_NET_EXCEPTION, last=rb"(?!" + _NET_GOES_ON + rb"|" + _NET_EXCEPTION + rb"|\r?\Z)"),)
    ),
    "python": Preset(
        rb"[ \t]",
        (
            Rule(rb"Traceback \(most recent call last\):", "frames", after=_after("", "chained"), begins=True),
            Rule(_PY_NAME + rb"(?::|\r?\Z)", "raised", after=_after("frames"), last=rb"[ \t]"),
            # Without a traceback: a SyntaxError under its caret.
            Rule(rb"(?:Syntax|Indentation|Tab)Error: ", "raised", last=rb"[ \t]"),
            Rule(_BLANK, "blank", after=_after("raised")),
            Rule(_BLANK, "chained", after=_after("chained")),
            Rule(
                rb"During handling of the above exception, |The above exception was the direct cause of ",
                "chained",
                after=_after("blank", "raised"),
            ),
        ),
    ),
    "go": Preset(
        rb"[ \t]",
        (
            Rule(rb"goroutine \d+\b.{0,200}\[", "frames", begins=True),
            Rule(rb"\[signal |panic: |runtime: |PC=|\r?\Z", "panic", after=_after("panic")),
            Rule(rb"\r?\Z|exit status \d", "between", after=_after("frames", "between")),
            Rule(rb"created by |\.\.\.", "frames", after=_after("frames")),
            # A function and its arguments: net/http.(*conn).serve(0xc0000b4000, ...)
            Rule(rb"[A-Za-z_][^ \n]{0,250}\(.*\)\r?\Z", "frames", after=_after("frames"), last=rb"\t|goroutine "),
            Rule(rb"[a-z][a-z0-9]{1,6} +0x", "between", after=_after("between")),  # registers
            Rule(
                rb"(?:.{0,200}\bpanic(?: serving \S{1,80})?|fatal error|SIG[A-Z]+): ",
                "panic",
                goes_on=False,
                begins=True,
            ),
        ),
    ),
    "ruby": Preset(
        rb"[ \t]",
        (
            Rule(rb"Traceback \(most recent call last\):", "numbered", goes_on=False, begins=True),
            Rule(_RUBY_PLACE, after=_after("numbered"), last=rb"[ \t]"),
            # The cause of an uncaught error, which Ruby prints after the frames; else such a line is an error itself.
            Rule(_RUBY_ERROR, last=rb"[ \t]+from "),
            Rule(_RUBY_ERROR, goes_on=False),
            Rule(_RUBY_PLACE),  # a backtrace that a logger printed
        ),
    ),
}
