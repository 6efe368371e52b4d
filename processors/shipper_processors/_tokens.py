"""Passwords, keys and tokens in text. Sans-IO.

What is looked for, and whose format it is:

- a value behind a telling name and ``=`` or ``:`` (``password=``, ``"api_key": ``, ``Authorization:``), and the
  password in ``scheme://user:password@host``
- ``Bearer`` and what follows (RFC 6750), JSON web tokens (RFC 7519), private keys in PEM (RFC 7468)
- keys with the prefixes that AWS, GitHub, GitLab, Google, Slack and Stripe give theirs, as their documentation has them
"""

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import chain
from typing import Final, TypeAlias

from shipper_processors._search import Holds, quick

Span: TypeAlias = tuple[int, int]
"""Where something begins, and where what follows it begins."""

_NAME: Final = (
    r"(?:pass(?:word|wd|phrase)|pwd|secret|token|(?:api|access|account|auth|private|secret|encryption)[_-]?key"
    r"|authorization)"
)
_VALUE: Final = (
    r'(?:\\"(?P<escaped>(?:[^"\\]|\\[^"])+)'  # of a JSON text in a JSON text
    r'|"(?P<quoted>(?:[^"\\]|\\.)+)'
    r"""|'(?P<single>(?:[^'"\\]|\\.|"(?!\s{0,8}[,:}\]]))+)"""  # not beyond the end of the text in JSON
    r"""|(?!(?:null|true|false)\s{0,8}[,}\]])(?P<plain>(?:[^\s"'\\&,;<>()\[\]{}|]|\\[^\s"'])+))"""
)
_FLAGS: Final = re.IGNORECASE | re.DOTALL | re.ASCII
_NAMED: Final = re.compile(
    rf"""{_NAME}(?:\\?["'])?[ \t]{{0,8}}(?:=>|[:=])[ \t]{{0,8}}(?:\[[ \t]{{0,8}})?"""
    rf"""(?:(?:basic|bearer|digest|token)[ ]{{1,4}})?{_VALUE}""",
    _FLAGS,
)
_PATTERNS: Final = (
    (("pass", "pwd", "secret", "token", "key", "authorization"), _NAMED),
    (
        ("@",),
        # up to the last @; a quote that a comma or the like follows ends what the address stands in
        re.compile(r""":\\?/\\?/[^\s:/@]{0,256}:(?P<plain>(?:[^\s/"']|["'](?!\s{0,8}[,:}\]])){1,256})@"""),
    ),
    (("bearer",), re.compile(r"bearer[ ]{1,4}(?=[A-Z._~+/=-]{0,256}[0-9])(?P<plain>[A-Z0-9._~+/=-]{8,})", _FLAGS)),
    (
        ("eyj",),
        # The rest of a first part that nothing follows is passed over: no eyJ in it can begin a token either.
        re.compile(
            r"(?P<plain>eyJ[A-Za-z0-9_-]{5,}+\.eyJ[A-Za-z0-9_-]{5,}+\.[A-Za-z0-9_-]*+)|eyJ[A-Za-z0-9_-]*+",
        ),
    ),
    (
        ("private key-----",),
        re.compile(
            r"(?P<plain>-----BEGIN [A-Z ]{0,32}PRIVATE KEY-----"
            r"(?:(?!-----END).)*(?:-----END [A-Z ]{0,32}PRIVATE KEY-----)?)",
            re.DOTALL,
        ),
    ),
    (("akia", "asia"), re.compile(r"(?<![A-Za-z0-9])(?P<plain>A[KS]IA[A-Z2-7]{16})(?![A-Za-z0-9])")),
    (
        ("gh", "github_pat_", "glpat-"),
        re.compile(r"(?P<plain>gh[opsur]_[A-Za-z0-9]{36,}|github_pat_\w{40,}|glpat-[\w-]{20,})", re.ASCII),
    ),
    (
        ("aiza", "xox", "k_live_"),
        re.compile(r"(?P<plain>AIza[\w-]{35}|xox[abeprs]-[A-Za-z0-9-]{10,}|[rs]k_live_[A-Za-z0-9]{16,})", re.ASCII),
    ),
)
"""Each with texts in lower case of which one must be there for it to match."""
_PATTERN_OF: Final = {word: pattern for words, pattern in _PATTERNS for word in words}
_WORDS: Final = tuple(
    b"passw passphrase pwd secret token authorization bearer eyj akia asia gho_ ghp_ ghs_ ghu_ ghr_ github_pat_ glpat- "
    b"aiza xox k_live_".split()
)
"""In lower case. One of them stands in everything that a pattern matches, but for keys and what is in addresses."""
_RARE: Final = b"wzxjb_-"
_FOLDED: Final = bytes.maketrans(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZ" + _RARE + _RARE.upper(), b"abcdefghijklmnopqrstuvwxyz" + b"k" * 2 * len(_RARE)
)
"""To lower case, and what is rare in text but stands in most words looks like ``k``: so ``re`` skips from one of them
to the next, and asks for all the words in one go."""
_KEYS: Final = (b"api", b"access", b"account", b"auth", b"private", b"secret", b"encryption")
_LONGEST: Final = 16
"""More bytes than any of them has, with what separates it from ``key``."""
_KEY: Final = re.compile(b"key(?:" + b"|".join(b"(?<=%bkey)|(?<=%b[_ -]key)" % (kind, kind) for kind in _KEYS) + b")")
"""In lower case. The blank is that of private keys in PEM."""
_AROUND: Final = 2100
"""In an address, the password ends so many bytes behind the scheme at most: 514 characters of up to four bytes."""
_SCHEME_END: Final = re.compile(rb":\\*/\\*/")
"""The slashes may be escaped, and JSON escapes the backslashes again."""
_NAME_END: Final = re.compile(rf"{_NAME}$", re.IGNORECASE | re.ASCII)
_CROWDED: Final = 1024
"""Where there is a word for every so many bytes, or more, looking for each of them is not worth it."""


def _anchored(words: list[bytes]) -> re.Pattern[bytes]:
    """Finds the first ``k`` of each of the words. What follows it is asked for first: that says no most quickly."""
    rests = [word.partition(b"k")[2] + b"(?<=" + word + b")" for word in words if word.index(b"k") + 1 < len(word)]
    ends = [word for word in words if word.index(b"k") + 1 == len(word)]
    before = b"".join(word[-2:-1] for word in ends)
    behind = b"|".join(b"(?<=" + word + b")" for word in ends)
    return re.compile(b"k(?:" + b"|".join(rests) + b"|(?<=[" + before + b"]k)(?:" + behind + b"))")


_ALIKE: Final = [word.translate(_FOLDED) for word in (*_WORDS, b"key")]
_WITH_RARE: Final = _anchored([word for word in _ALIKE if b"k" in word])
_WITHOUT: Final = [word for word in _ALIKE if b"k" not in word]


def is_secret_name(name: str) -> bool:
    """Whether a field of this name holds a secret, whatever its value looks like."""
    return _ends_secret(name[-_LONGEST:])


@lru_cache(1024)
def _ends_secret(end: str) -> bool:
    return _NAME_END.search(end) is not None


def tokens(text: str) -> list[Span]:
    """The secrets in a text: what stands behind a name, not the name."""
    lowered = text.lower()
    there = {pattern: None for word, pattern in _PATTERN_OF.items() if word in lowered}
    return [match.span(match.lastgroup) for pattern in there for match in pattern.finditer(text) if match.lastgroup]


def token_places(data: bytes) -> list[int] | None:
    """Where in many lines a secret may be; None: in too many places."""
    holds = quick(data)
    words = _in_one_go(data) if holds is None else _one_by_one(data.lower(), holds)
    limit = 16 + len(data) // _CROWDED
    places: list[int] = []
    for at in chain(words, _of_addresses(data)):
        places.append(at)
        if len(places) > limit:
            return None
    return sorted(places)


def _one_by_one(lowered: bytes, holds: Holds) -> Iterator[int]:
    """Places of the words."""
    for word in _WORDS:
        at = lowered.find(word) if holds(lowered, word) else -1
        while at >= 0:
            yield at
            at = lowered.find(word, at + 1)
    if holds(lowered, b"key"):
        for match in _KEY.finditer(lowered):
            yield match.start()


def _in_one_go(data: bytes) -> Iterator[int]:
    """Places in the words, or in what looks like them."""
    folded = data.translate(_FOLDED)
    for match in _WITH_RARE.finditer(folded):
        at = match.start()
        if not folded.startswith(b"key", at) or _is_likely(data[max(0, at - _LONGEST) : at].lower()):
            yield at
    for word in _WITHOUT:
        at = folded.find(word) if folded.rfind(word) >= 0 else -1  # from behind it is quicker where there is none
        while at >= 0:
            yield at
            at = folded.find(word, at + 1)


def _of_addresses(data: bytes) -> Iterator[int]:
    """Places where an address may hold a password."""
    at = data.find(b"@")
    scheme, done = -1, 0
    while at >= 0:
        first = max(0, at - _AROUND)
        if scheme < first:
            match = _SCHEME_END.search(data, max(first, done), at)  # what is before was looked at
            scheme, done = match.span() if match else (-1, at)
        if scheme >= first:
            yield at
        at = data.find(b"@", at + 1)


def _is_likely(before: bytes) -> bool:
    """Whether ``key`` is worth a closer look, by what stands before it in lower case."""
    return before.rstrip(b"_- ").endswith(_KEYS)
