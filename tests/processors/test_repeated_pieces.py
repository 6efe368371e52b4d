"""One long line of one piece again and again: no processor takes more time than its length allows.

Left out are those that match what somebody else wrote: such expressions have a deadline.
"""

from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from support.growth import grows_linearly

from shipper import ByteSize, Processor
from shipper_processors.convert import Convert
from shipper_processors.fingerprint import Fingerprint
from shipper_processors.flatten import Flatten
from shipper_processors.parse_access_log import ParseAccessLog
from shipper_processors.parse_csv import ParseCsv
from shipper_processors.parse_dissect import ParseDissect
from shipper_processors.parse_json import ParseJson
from shipper_processors.parse_kv import ParseKv
from shipper_processors.parse_logfmt import ParseLogfmt
from shipper_processors.parse_syslog import ParseSyslog
from shipper_processors.parse_timestamp import ParseTimestamp
from shipper_processors.redact import Redact
from shipper_processors.split import Split
from shipper_processors.truncate import Truncate

LENGTH = 80_000
PIECES = (
    *("@", "a@", "a@b.cc ", "@a.", "@b-", "%40", "\u00e9@", "\\u00e9", "\\n"),
    *("::", "::1 ", "a::", "call ::x() ", "a:b:c ", "1.1.1.", "10.0.0.1 ", ":"),
    *("://a:", "://a:b@", "://u:@", "https://", "eyJ", "eyJaaaaa.", "eyJaaaaa.eyJ", ".eyJ"),
    *(
        "password=",
        "password='",
        'pwd="a',
        'pwd=\\"a',
        "secret:[",
        "api_key",
        "-key",
        "bearer ",
        "bearer a",
        "\0key",
        "\0@",
    ),
    *("-----BEGIN PRIVATE KEY-----", "-----BEGIN ", "ghp_", "github_pat_", "xoxb-", "AKIA"),
    *("4111 ", "1-", "1", "4111111111111111 ", "\\u0034", "[", "]", '{"a":', '"', '\\"', '","', '":1,', "'", "\\"),
    *('a="', 'a="b" ', "a=", "a=1 ", "a='\"", "=", " ", "a ", " [", "[a]", 'a b="c" ', " HTTP/", ",", "a,", ": "),
)
PROCESSORS: tuple[Processor, ...] = (
    *(Redact(find=[kind]) for kind in ("cards", "emails", "ips", "tokens")),
    ParseJson(),
    ParseKv(),
    ParseKv(brackets=True, trim_key='"', trim_value=" "),
    ParseLogfmt(),
    ParseCsv(columns=["a", "b"]),
    ParseSyslog(timezone="UTC"),
    ParseAccessLog(),
    ParseDissect(pattern="%{a->} %{b}::%{c}"),
    ParseTimestamp(field="message", timezone="UTC"),
    Split(field="message"),
    Flatten(),
    Truncate(max_bytes=ByteSize(100)),
    Fingerprint(),
    Convert(types={"message": "int"}),
)
STARTS = (
    "",
    "<34>1 - - - - - [",
    "<34>Oct 11 22:14:15 ",
    '1.2.3.4 - - [01/Mar/2026:12:00:00 +0100] "',
    'a="',
    '{"a":"',
)
"""What stands before the pieces: the beginnings of what the parsers read."""


def _name(value: Any) -> str:
    return "-".join([type(value).__name__, *(value.find if isinstance(value, Redact) else ())])


@pytest.mark.parametrize("processor", PROCESSORS, ids=_name)
def test_a_line_of_repeated_pieces_takes_time_in_proportion_to_its_length(processor: Processor) -> None:
    processor.setup()
    starts = STARTS if type(processor).__name__.startswith("Parse") else STARTS[:1]

    def run(start: str, piece: str, length: int) -> None:
        text = start + piece * (length // len(piece))
        processor.suspects(text.encode() + b"\n")
        with suppress(ValueError):  # it is no such text, which takes time to find out, too
            processor.process({"message": text})

    slow = [
        (start, piece) for start in starts for piece in PIECES if not grows_linearly(partial(run, start, piece), LENGTH)
    ]
    assert slow == []
