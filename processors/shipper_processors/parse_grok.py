"""Parse text with grok patterns."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar, Literal

from shipper import Duration, Processor, Record
from shipper_processors._grok import Grok, in_file, published
from shipper_processors._text import TextParser


class ParseGrok(TextParser, Processor):
    r"""Match a field against grok expressions, as Logstash has them; what they name takes the field's place.

    ``%{IP:client}`` is the pattern ``IP`` and makes a field ``client`` of what it matches; ``%{INT:bytes:int}`` makes
    it a number (``int``, ``float``; an error of the record if it is none), ``%{INT:[http][status]:int}`` puts it into
    an object, and ``%{SPACE}`` only has to be there. Around them stands a regular expression, in which
    ``(?<queue>[0-9A-F]{10,11})`` makes a field too. It may match anywhere in the text: begin it with ``^`` where that
    is meant, a line that does not match costs much less then.

    What is empty, or took no part in the match, is left out; what is named twice and found twice is a list. A line that
    no expression matches goes on as it is, with the reason in the field ``parse_error``. Unlike in Logstash, the text
    itself goes, unless the expression has a field of its name.

    Example::

        processors:
          - parse_grok: {pattern: '^%{COMBINEDAPACHELOG}'}
          - parse_grok:
              field: detail
              pattern:
                - '^%{IPORHOST:client} %{WORD:verb} %{DATA:path} took %{NUMBER:seconds:float}s$'
                - '^%{QUEUE:queue}: %{GREEDYDATA:message}'
              definitions: {QUEUE: '[0-9A-F]{10,11}'}
    """

    pattern: str | list[str]
    r"""The expression, or several: the first one that matches counts. They are Oniguruma's, as in Logstash: ``^`` and
    ``$`` stand for the ends of any line of the text, a dot matches newlines too, ``\d`` and ``\w`` are ASCII."""
    definitions: dict[str, str] = {}  # noqa: RUF012 - each instance gets a copy
    """Patterns of your own; one with the name of a published pattern takes its place."""
    pattern_files: list[Path] = []  # noqa: RUF012
    """Files with more patterns, a line each: a name, a blank, the expression. They are read at the start."""
    names_as: Literal["ecs", "legacy"] = "ecs"
    """The published patterns come in two sets, which differ in the fields they make: those of the Elastic Common Schema
    (``[source][address]``), or the flat ones of older Logstash (``clientip``)."""
    pattern_deadline: Duration = Duration(0.1)
    """CPU time that one expression may take for one text. After that the record has failed."""

    other_names: ClassVar[Mapping[str, str]] = {
        "match": "pattern",
        "patterns": "definitions",
        "pattern_definitions": "definitions",
        "custom_patterns": "definitions",
    }

    def setup(self) -> None:
        """:raises ValueError: an expression cannot be used, or a file of patterns cannot be read."""
        super().setup()
        known = published(self.names_as)
        for path in self.pattern_files:
            try:
                known |= in_file(path.read_text("utf-8"), str(path))
            except (OSError, UnicodeError) as error:
                raise ValueError(f"the patterns in {path} cannot be read: {error}") from error
        known |= self.definitions
        expressions = [self.pattern] if isinstance(self.pattern, str) else self.pattern
        if not expressions:
            raise ValueError("pattern is empty: write at least one expression, as in pattern: '%{SYSLOGLINE}'")
        self.groks = [Grok(text, known, self.pattern_deadline) for text in expressions]

    @property
    def names(self) -> frozenset[str] | None:
        """All that the expressions name."""
        return frozenset().union(*(grok.names for grok in self.groks))

    @property
    def nested(self) -> frozenset[str]:
        """What they write as ``[outer][inner]``."""
        return frozenset().union(*(grok.nested for grok in self.groks))

    def parse(self, text: str) -> Record:
        """The fields of a text. :raises ValueError: no expression matches, or a field is not of its type."""
        for grok in self.groks:
            fields = grok.parse(text)
            if fields is not None:
                return fields
        raise ValueError("the pattern does not match" if len(self.groks) == 1 else "none of the patterns matches")
