"""Parse logfmt."""

import re
from typing import Any, Final

from shipper import Processor, decode_json
from shipper_processors._pairs import PairParser

_TEXT: Final = (
    r'GROUP[^\x00-\x20="]++)(?:GROUP=)'
    r'(?:GROUP"(?:[^"\\]|\\.)*+")|GROUP[^\x00-\x20"]*+)(?=[\x00-\x20]|\Z)))?'
    r"(?:[\x00-\x20]++|\Z|(?<=\"))"
)
"""A pair and the blanks behind it: its name, the equals sign, and the value, in quotes or without. A text can be read
in one way only; behind quotes there need be no blank."""
_PAIR: Final = re.compile(_TEXT.replace("GROUP", "("), re.DOTALL)
_WHOLE: Final = re.compile(f"(?:{_TEXT.replace('GROUP', '(?:')})++", re.DOTALL)
_BLANK: Final = "".join(map(chr, range(33)))
_CONTROL: Final = re.compile(r"[\x00-\x1f]")


class ParseLogfmt(PairParser, Processor):
    r"""Parse a field that holds logfmt, as programs in Go write it; the pairs take its place as fields.

    ``level=info msg="it is done" cached`` has the fields ``level``, ``msg`` and ``cached``, which is true: a name
    without a value. Values in double quotes may hold blanks and the escapes of JSON. Names that stand there twice have
    a list. A text that is not logfmt, or has no pair at all, goes on as it is, with the reason in ``parse_error``.

    Example::

        processors:
          - parse_logfmt
          # level=info msg="it is done" cached -> {"level": "info", "msg": "it is done", "cached": true}
          - parse_logfmt: {types: {status: int, took: float}, exclude: [token]}
    """

    def pairs(self, text: str) -> list[tuple[str, Any]]:
        """The pairs in a text. :raises ValueError: it is not logfmt."""
        if "=" not in text:
            raise ValueError("there is no pair such as name=value in it")
        text = text.strip(_BLANK)
        good = _WHOLE.match(text)
        if good is None or good.end() < len(text):
            at = good.end() if good else 0
            raise ValueError(f"{text[at : at + 20]!r} at character {at + 1} is not logfmt")
        return [
            (name, (_unquoted(quoted) if "\\" in quoted else quoted[1:-1]) if quoted else plain if equals else True)
            for name, equals, quoted, plain in _PAIR.findall(text)
        ]


def _unquoted(quoted: str) -> Any:
    """:raises ValueError: an escape is not one of JSON's."""
    escaped = _CONTROL.sub(lambda found: f"\\u{ord(found[0]):04x}", quoted)
    try:
        return decode_json(f'{{"value":{escaped}}}')["value"]
    except ValueError:
        raise ValueError(f"{quoted[:40]} holds an escape that JSON does not have") from None
