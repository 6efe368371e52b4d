"""Regular expressions that end: what every processor and condition matches text with.

Python's ``re`` cannot be stopped once it matches, and no other thread runs meanwhile: one unlucky expression on one
hostile line would freeze the whole program. So:

- What ``pattern_cost`` finds harmless is matched by ``re``, at its full speed; so are texts that are short enough.
- All else is matched by the package ``regex``, which looks at the clock. It is twice as slow, and loaded only then.

A first look at a text is short (``_LOOK``, ``_EACH``), and does not give the interpreter away: that would cost every
match a fight for it. Then the match begins again, and the rest of the program runs beside it. That takes of the
pattern's ``Patience``, so that many slow texts do not take many deadlines.
"""

import importlib
import re
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias

from shipper.errors import PatternTimeout
from shipper.pattern_cost import safe_lengths
from shipper.pattern_patience import REFILL, STORE, Patience
from shipper.pattern_text import rewritten, tree_of
from shipper.units import Duration

DEADLINE: Final = Duration(0.1)
"""So long a match may take, in seconds of CPU time of the process: a thousand times what an unlucky line takes."""
_LOOK: Final = 0.0005
"""So much a match always gets: a hundred times what an ordinary one takes."""
_EACH: Final = 0.000004
"""And so much for each character: twice what a large grok expression takes to find that it matches nowhere."""
_HELD: Final = 0.01
"""So long the interpreter is not given away."""
_SHOWN: Final = 60
_REMEMBERED: Final = 256
"""So many texts are known to be hopeless: a batch that fails is run again in parts, to find the bad record."""
_LONG: Final = 64 * 1024
"""A slow match of a longer text leaves memory behind, 11 bytes a character, for as long as the matcher lives."""
_SHORT: Final = 100
"""Where lines of this length need the deadline, it is needed all the time."""
_FLAGS: Final = ("IGNORECASE", "MULTILINE", "DOTALL", "ASCII", "UNICODE")
"""Both packages have them, by other numbers."""
Replacement: TypeAlias = "str | Callable[[re.Match[str]], str]"


class Pattern:
    """A compiled regular expression whose every match ends. Use it from any thread.

    The language is that of ``re``, and so are the results.
    """

    def __init__(
        self,
        pattern: str | re.Pattern[str],
        deadline: float = DEADLINE,
        flags: int = 0,
        shown: str = "",
        patience: Patience | None = None,
    ) -> None:
        """``deadline``: seconds of CPU time; ``flags``: those of ``re``, for a pattern that is text; ``shown``: what
        somebody wrote, where the pattern was made of it; ``patience``: the time for all slow matches, if not the usual.

        :raises ValueError: it is no regular expression, or there is no time at all.
        """
        if deadline <= 0:
            raise ValueError("a regular expression with a deadline of 0 could match nothing; 100ms is ample")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a "possible nested set" is what was written
                self._compiled: Final = re.compile(pattern, flags)
        except (re.error, OverflowError, RecursionError) as error:
            raise ValueError(f"the regular expression cannot be read: {error}") from error
        self._deadline: Final = deadline
        self._held: Final = min(_HELD, deadline)
        self._patience: Final = patience or Patience(max(STORE, deadline))
        self._shown: Final = shown or self._compiled.pattern
        tree = tree_of(self._compiled)
        self._lengths: Final = safe_lengths(tree, int(self._compiled.flags))
        names = {number: name for name, number in self._compiled.groupindex.items()}
        self._text: Final = rewritten(tree, names)
        self._bounded: Any = None
        self._hopeless: dict[tuple[str, int], None] = {}
        self.search: Final[Callable[[str], re.Match[str] | None]] = self._method("search")
        """The first match anywhere in a text. :raises PatternTimeout: there was not enough time."""
        self.match: Final[Callable[[str], re.Match[str] | None]] = self._method("match")
        """The match at the beginning of a text. :raises PatternTimeout: there was not enough time."""
        self.fullmatch: Final[Callable[[str], re.Match[str] | None]] = self._method("fullmatch")
        """The match of a whole text. :raises PatternTimeout: there was not enough time."""
        if self.safe_length is not None and self.safe_length < _SHORT:
            self._load()

    @property
    def pattern(self) -> str:
        """As it was written."""
        return self._compiled.pattern

    @property
    def groups(self) -> tuple[str, ...]:
        """The names of the named groups, in their order."""
        return tuple(self._compiled.groupindex)

    @property
    def safe_length(self) -> int | None:
        """Longer lines are matched with the deadline; None: no line has to be."""
        return self._lengths[0]

    def search_within(self, length: int) -> Callable[[str], re.Match[str] | None]:
        """What does as ``search`` for texts of at most so many characters, and is quicker where that makes all of them
        harmless. For many texts at once.
        """
        least = self._lengths[1]
        return self._compiled.search if least is None or length <= least else self.search

    def finditer(self, text: str) -> Iterator[re.Match[str]]:
        """The matches in a text, from left to right. :raises PatternTimeout: there was not enough time for all."""
        if self._is_safe(text):
            return self._compiled.finditer(text)
        return iter(self._timed("finditer", lambda matcher, **limits: list(matcher.finditer(text, **limits)), text))

    def sub(self, replacement: Replacement, text: str) -> str:
        """The text with every match replaced, as ``re`` does. :raises PatternTimeout: there was not enough time."""
        if self._is_safe(text):
            return self._compiled.sub(replacement, text)
        replaced: str = self._timed("sub", lambda matcher, **limits: matcher.sub(replacement, text, **limits), text)
        return replaced

    def __repr__(self) -> str:
        return f"Pattern({self.pattern!r})"

    def _is_safe(self, text: str) -> bool:
        line, lines = self._lengths
        length = len(text)
        return lines is None or length <= lines or ((line is None or length <= line) and "\n" not in text)

    def _method(self, name: str) -> Callable[[str], re.Match[str] | None]:
        quick: Callable[[str], re.Match[str] | None] = getattr(self._compiled, name)
        if self._lengths == (None, None):
            return quick

        least, held = self._lengths[1] or 0, self._held
        differ = self._lengths[0] != self._lengths[1]
        longest = (held - _LOOK) / _EACH  # nothing is called for a match that need not be

        def bounded(text: str) -> re.Match[str] | None:
            length = len(text)
            if length <= least or (differ and self._is_safe(text)):
                return quick(text)
            matcher = self._bounded or self._load()
            match: re.Match[str] | None
            look = _LOOK + length * _EACH if length < longest else held
            try:  # what _timed does, without its way there: nearly every text ends here
                match = getattr(matcher, name)(text, timeout=look, concurrent=False)
            except TimeoutError:
                match = self._slowly(name, lambda matcher, **limits: getattr(matcher, name)(text, **limits), text)
            return match

        return bounded

    def _timed(self, name: str, run: Callable[..., Any], text: str) -> Any:
        try:
            look = min(_LOOK + len(text) * _EACH, self._held)
            return run(self._bounded or self._load(), timeout=look, concurrent=False)
        except TimeoutError:
            return self._slowly(name, run, text)

    def _slowly(self, name: str, run: Callable[..., Any], text: str) -> Any:
        """Match a text that the first look was not enough for."""
        key = (name, hash(text))
        known = key in self._hopeless
        free = _LOOK + len(text) * _EACH
        look = min(free, self._held)
        limit = self._deadline if known else min(self._deadline, max(self._patience.left(), free))
        if known or limit <= look:
            self._patience.spend(look)
        else:
            began = time.process_time()
            try:
                found = run(self._bounded or self._load(), timeout=limit, concurrent=True)
            except TimeoutError:
                self._patience.spend(look + limit)
            else:
                self._patience.spend(max(0.0, look + time.process_time() - began - free))
                return found
            finally:
                if len(text) > _LONG:
                    self._bounded = None
        if limit == self._deadline:
            self._hopeless[key] = None
            if len(self._hopeless) > _REMEMBERED:
                del self._hopeless[next(iter(self._hopeless))]
        raise self._gave_up(len(text), max(limit, look))

    def _gave_up(self, length: int, limit: float) -> PatternTimeout:
        shown = self._shown if len(self._shown) <= _SHOWN else f"{self._shown[:_SHOWN]}..."
        after = f"{self._deadline:g} s"
        if limit < self._deadline:
            after = (
                f"{limit * 1000:.2g} ms, all that was left: slow texts have {self._patience.store:g} s together, and "
                f"{REFILL:.0%} of the time that goes by"
            )
        return PatternTimeout(
            f"the pattern {shown} was not done with {length} characters after {after}; where it can match the same "
            "text in many ways (a repeat in a repeat, as in (a+)+), write it so that there is one"
        )

    def _load(self) -> Any:
        regex = importlib.import_module("regex")
        flags = [getattr(regex, name) for name in _FLAGS if self._compiled.flags & getattr(re, name)]
        self._bounded = regex.compile(self._text, sum(flags, regex.VERSION0), cache_pattern=False)
        return self._bounded
