"""What people write: configs, and conditions in them."""

import re
from contextlib import suppress
from pathlib import Path
from typing import Final

from fuzz.loading import loaded
from fuzz.mutate import mutated
from fuzz.target import Target
from hypothesis import strategies as st

from shipper.chain.expression import Condition
from shipper.errors import ConfigError, PatternTimeout
from shipper.hostile import HOSTILE_RECORDS
from shipper.kafka.topics import NoTopic, TopicTemplate
from shipper.sinks.file.path_template import CannotRender, PathTemplate
from shipper.units import ByteSize, Duration, Share
from shipper.wire.address import split_address

ROOT: Final = Path(__file__).parents[3]
EXAMPLES: Final = [
    block.encode()
    for page in sorted((ROOT / "docs" / "guide").glob("*.md"))
    for block in re.findall(r"^```yaml\n(.*?)^```$", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    if "sources" in block or "sinks" in block
] + [path.read_bytes() for path in sorted((ROOT / "deploy").rglob("*.yaml")) if b"sinks:" in path.read_bytes()]
BOMB: Final = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (98 + n, 98 + n, b",".join([b"*%c" % (97 + n)] * 9)) for n in range(12)
)
WORDS: Final = (
    *(
        b"&a ",
        b"*a",
        b"<<: *a",
        b"!!python/object:os.system x",
        b"!",
        b"%YAML 9.9\n",
        b"---\n",
        b"...\n",
        b"? ",
        b": ",
        b"- ",
        b"\t",
    ),
    *(
        b"[" * 2000,
        b"{" * 500,
        b"- " * 1000,
        b'"',
        b"'",
        b"|\n",
        b">-\n",
        b"#",
        b"\0",
        b"\xff\xfe",
        b"\xef\xbb\xbf",
        b"\xed\xa0\x80",
    ),
    *(
        b"x" * 100_000,
        b"9" * 5000,
        b"0x" + b"f" * 5000,
        b"1e999",
        b"-.inf",
        b".nan",
        b"2024-01-01",
        b"0o7",
        b"1_0",
        b"~",
        b"null",
    ),
    *(
        b"${X}",
        b"${",
        b"${X:-",
        b"${file:/dev/zero}",
        b"${file:/}",
        b"${file:" + b"a" * 5000 + b"}",
        b"$$",
        b"where: ",
        b"type: ",
    ),
    *(b"\xc2\x85", b"\xe2\x80\xa8", b"\r", b"sources:", b"sinks: {}", b"processors:\n- ", b"data_dir: /\n", BOMB),
)
YAML: Final = mutated(st.sampled_from(EXAMPLES), WORDS)

CONDITIONS: Final = (
    b"level in ['error', 'fatal'] and not contains(message, 'heartbeat')",
    b"http.status >= 500 or exists(exception) or matches(field('@type'), '^alarm')",
    b"500 <= status < 600 and lower(level) != 'debug'",
    b"'x' in tags or field('a', 'b') == null or (message == message)",
    b"not (not (true or false))",
    b"startswith(message, '') or endswith(message, 'a') and n in [1, 2.5, -3, true, null]",
)
CONDITION_WORDS: Final = (
    *(
        b"(",
        b")",
        b"[",
        b"]",
        b"'",
        b'"',
        b"\\",
        b"not ",
        b" and ",
        b" or ",
        b" in ",
        b"==",
        b"<",
        b"=",
        b"&&",
        b".",
        b",",
        b"*",
        b"lambda: ",
    ),
    *(
        b"(" * 300,
        b"not " * 500,
        b"[" * 150,
        b"a" * 17_000,
        b"9" * 5000,
        b"1e999",
        b"0x",
        b"1_0",
        b"1j",
        b"f'{a}'",
        b"b'a'",
        b"'''",
        b"#",
    ),
    *(
        b"matches(message, '",
        b"(a+)+$",
        b"field(",
        b"lower(",
        b"__class__",
        b"()",
        b"\n",
        b"\0",
        b"\xff",
        "ﬀ".encode(),
        "ª".encode(),
        b":=",
    ),
)
RECORDS: Final = [
    *HOSTILE_RECORDS,
    {
        "level": "error",
        "message": "a" * 40,
        "status": 503,
        "http": {"status": True},
        "tags": ["x", None],
        "@type": "alarm",
        "n": 2.5,
    },
    {"level": 2**70, "message": float("nan"), "status": "500", "tags": "x", "a": {"b": None}, "n": -3},
]


def judge(data: bytes) -> None:
    """What is no condition is refused; one judges each record alone as it judges all of them."""
    condition = Condition.parse(data.decode("utf-8", "replace"))
    labels = {"host": "h", "level": "label"}
    alone = [condition(record, labels) for record in RECORDS]
    assert condition.mask(RECORDS, labels) == alone
    assert condition.select(RECORDS, labels) == [
        record for record, met in zip(RECORDS, alone, strict=True) if met
    ] or _odd(alone)
    assert len(condition.reject(RECORDS, labels)) == alone.count(False)
    assert all(isinstance(met, bool) for met in alone)
    again = Condition.parse(condition.text)
    assert again.fields == condition.fields


def _odd(alone: list[bool]) -> bool:
    """A record with a NaN is not equal to itself."""
    return alone[-1]


TEXTS: Final = (
    b"1GiB",
    b"5.5s",
    b"10%",
    b"[::1]:7420",
    b"0.0.0.0:0",
    b"/var/log/{host}/{source}-%Y.log",
    b"logs-{host}",
    b"{read_at:%Y/%m}",
)
TEXT_WORDS: Final = (
    b"{",
    b"}",
    b":",
    b"%",
    b"/",
    b"..",
    b"\0",
    b"9" * 500,
    b"e999",
    b"-",
    b".",
    b"nan",
    b"inf",
    b"\xff",
    b"[",
    "٣".encode(),
    b" ",
)


def read_text(data: bytes) -> None:
    """Each reads it, or says what would be right."""
    text = data.decode("utf-8", "replace")
    for read in (ByteSize.parse, Duration.parse, Share.parse, split_address, _path, _topic):
        with suppress(ValueError, CannotRender, NoTopic):
            read(text)


def _path(text: str) -> None:
    path = PathTemplate(text).render({"host": "../..", "source": "a\0/b", "x": 1}, 1_700_000_000_000_000)
    assert all(part not in ("", ".", "..") and "/" not in part and "\0" not in part for part in path)


def _topic(text: str) -> str:
    return TopicTemplate(text).render({"host": "h", "source": "s"})


TARGETS: Final = (
    Target("config", YAML, loaded, (ConfigError,), examples=60),
    Target(
        "config, any bytes",
        st.binary(max_size=200) | mutated(st.sampled_from(WORDS), WORDS),
        loaded,
        (ConfigError,),
        examples=100,
    ),
    Target("condition", mutated(st.sampled_from(CONDITIONS), CONDITION_WORDS), judge, (ValueError, PatternTimeout)),
    Target("sizes, addresses, templates", mutated(st.sampled_from(TEXTS), TEXT_WORDS), read_text),
)
