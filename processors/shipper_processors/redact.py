"""Take secrets out of records."""

import re
from collections.abc import Callable, Iterator
from operator import itemgetter
from typing import Any, Final, Literal, TypeAlias

from shipper import Pattern, Processor, Record
from shipper_processors import _addresses, _cards, _digest, _tokens
from shipper_processors._bare import fitted
from shipper_processors._walk import leaves, outermost, paths_of

_Find: TypeAlias = Callable[[str], list[tuple[int, int]]]
_Places: TypeAlias = Callable[[bytes], "list[int] | None"]


class Redact(Processor):
    r"""Take card numbers, e-mail addresses, IP addresses, passwords and what else must not leave the node out of text.

    - ``cards``: card numbers of 13 to 19 digits, also in groups with blanks or dashes, that begin as one of the large
      issuers' do and whose check digit is right. Times, ids and hex strings are none. A whole number that is one
      becomes text.
    - ``emails``: e-mail addresses, also as web addresses write them (``ann%40example.com``).
    - ``ips``: IP addresses of both versions. A version number such as ``120.0.0.0`` cannot be told from one.
    - ``tokens``: passwords, keys and tokens: what stands behind ``password=``, ``api_key:``, ``Authorization:`` and the
      like, in a field of such a name and all below it, or in ``https://user:password@host``; bearer tokens, JSON web
      tokens, private keys, and keys of AWS, GitHub, GitLab, Google, Slack and Stripe.

    All text of a record is searched, in nested objects and lists too; names of fields and labels stay. What is found is
    replaced by ``***``, by a keyed hash (``[email:1f2e3d4c5b6a7988]``, by which two records about the same thing can
    still be brought together), or by nothing. Records in which nothing is found keep their bytes, and are not even
    decoded where ``redact`` has no ``where`` and no ``patterns``.

    Example::

        processors:
          - redact: {find: [cards, emails, tokens]}   # 4111 1111 1111 1111, ann@example.com -> ***, ***
          - redact: {find: [cards], keep_last: 4}             # paid with 4111 1111 1111 1111 -> paid with ***1111
          - redact: {find: [ips, emails], action: hash, key: "${file:redact.key}", fields: [client, http.headers]}
          - redact: {patterns: {iban: '\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}\b', pin: 'pin (?P<secret>\d{4})'}}
    """

    find: list[Literal["cards", "emails", "ips", "tokens"]] = []  # noqa: RUF012 - each instance gets a copy
    """What to look for."""
    patterns: dict[str, re.Pattern[str]] = {}  # noqa: RUF012
    """Regular expressions of your own, by a name for what they find. Where one has a group named ``secret``, that is
    replaced, else all that it matches. With them every record is decoded and searched."""
    fields: list[str] | None = None
    """Search only these fields and what is in them; nested ones as in a condition, ``http.headers``."""
    action: Literal["mask", "hash", "remove"] = "mask"
    """What becomes of a secret: ``***``, a keyed hash, or nothing."""
    keep_last: int = 0
    """With ``mask``, so many of its last characters stay, but never more than a third of it."""
    key: str | None = None
    """With ``hash``, the key, at least 16 characters. Without it nobody can find out by trying what was hashed; all
    nodes need the same one for their hashes to be equal. Keep it in a file of its own: ``${file:PATH}``."""

    def setup(self) -> None:
        """:raises ValueError: there is nothing to look for, or the key is missing or too short."""
        if not self.find and not self.patterns:
            raise ValueError("nothing to look for: name kinds, as in find: [cards, emails, ips, tokens], or patterns")
        if self.action == "hash" and self.key is None:
            raise ValueError("key is missing: a hash without one can be undone by trying; write key: ${file:PATH}")
        if self.keep_last < 0:
            raise ValueError(f"keep_last is {self.keep_last}; it is a number of characters, 0 for none")
        self.hash_key = _digest.key_of(self.key)
        self.paths = paths_of(self.fields)
        self.named = "tokens" in self.find
        self.finders: list[tuple[str, _Find]] = [(kind.removesuffix("s"), _FINDERS[kind][0]) for kind in self.find]
        self.finders += [(name, _own(Pattern(pattern))) for name, pattern in self.patterns.items()]

    @property
    def reads(self) -> frozenset[str] | None:
        """The outermost names of ``fields``."""
        return outermost(self.fields)

    @property
    def writes(self) -> frozenset[str] | None:
        """The same."""
        return self.reads

    def suspects(self, data: bytes) -> list[int] | None:
        """The places that look like one of the kinds, in all lines at once."""
        if self.patterns:
            return None
        places: list[int] = []
        for kind in self.find:
            found = _FINDERS[kind][1](data)
            if found is None:
                return None
            places += found
        return sorted(places)

    def process(self, record: Record) -> Record:
        """Replace what is found. All is found before anything is changed."""
        changes = [
            (inner, name, changed)
            for inner, name, value, secret in self.leaves(record)
            if (changed := self.changed(value, secret=secret)) is not None
        ]
        for inner, name, changed in changes:
            inner[name] = changed
        return record

    def leaves(self, record: Record) -> Iterator[tuple[Any, Any, Any, bool]]:
        """Those of ``_walk``, with whether they are secret by their names."""
        return leaves(record, self.paths, _is_secret_name) if self.named else leaves(record, self.paths)

    def changed(self, value: Any, *, secret: bool) -> str | None:
        """What a value becomes, which is a secret whatever it looks like, or not; None: it stays."""
        kind = value.__class__
        if secret and kind in _SCALARS and value != "":
            return self.instead("token", str(value))
        if kind is str:
            return self.redacted(value)
        if kind is int and value > _LESS_THAN_A_CARD and "cards" in self.find and _cards.is_card(b"%d" % value):
            return self.instead("card", str(value))
        return None

    def redacted(self, text: str) -> str | None:
        """The text without what is found in it; None: nothing is. Where two overlap both are taken out."""
        found = [(start, end, kind) for kind, find in self.finders for start, end in find(text) if start < end]
        if not found:
            return None
        found.sort(key=itemgetter(0))
        parts: list[str] = []
        done = 0
        for (start, end, kind), bare in fitted(text, _joined(found)):
            instead = self.instead(kind, text[start:end])
            parts += (text[done:start], f'"{instead}"' if bare else instead)
            done = end
        parts.append(text[done:])
        return "".join(parts)

    def instead(self, kind: str, secret: str) -> str:
        """What stands in the place of a secret."""
        if self.action == "remove":
            return ""
        if self.action == "hash":
            same = secret.translate(_SEPARATORS) if kind == "card" else secret.replace("%40", "@").lower()
            data = (same if kind in ("card", "email") else secret).encode("utf-8", "surrogatepass")
            return f"[{kind}:{_digest.digest(data, 8, self.hash_key).hex()}]"
        kept = min(self.keep_last, len(secret) // 3)
        if "\\" in secret[len(secret) - kept - _ESCAPE :]:  # half of an escape would be another one
            kept = 0
        return "***" + secret[len(secret) - kept :]


def _joined(found: list[tuple[int, int, str]]) -> Iterator[tuple[int, int, str]]:
    """Those that overlap as one, of the kind of the first."""
    start, end, kind = found[0]
    for begin, stop, other in found:
        if begin < end:
            end = max(end, stop)
        else:
            yield start, end, kind
            start, end, kind = begin, stop, other
    yield start, end, kind


_SEPARATORS: Final = dict.fromkeys(map(ord, " -"))
_SCALARS: Final = (str, int, float)
_ESCAPE: Final = len("\\u0041")
_LESS_THAN_A_CARD: Final = 999_999_999_999


def _is_secret_name(name: Any) -> bool:
    return name.__class__ is str and _tokens.is_secret_name(name)


def _find_cards(text: str) -> list[tuple[int, int]]:
    """One byte a character: a place in the bytes is one in the text."""
    return _cards.cards(text.encode("latin-1", "replace")) if len(text) > 12 else []


def _card_places(data: bytes) -> list[int]:
    return [start for start, _ in _cards.cards(data)]


def _own(pattern: Pattern) -> _Find:
    group: str | int = "secret" if "secret" in pattern.groups else 0
    return lambda text: [match.span(group) for match in pattern.finditer(text)]


_FINDERS: Final[dict[str, tuple[_Find, _Places]]] = {
    "cards": (_find_cards, _card_places),
    "emails": (_addresses.emails, _addresses.email_places),
    "ips": (_addresses.ips, _addresses.ip_places),
    "tokens": (_tokens.tokens, _tokens.token_places),
}
