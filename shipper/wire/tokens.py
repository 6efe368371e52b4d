"""Bearer tokens: the file that says which are good, and whose they are.

The file holds no token, only the SHA-256 of each: a token is 256 random bits, which nobody finds by trying, so neither
salt nor a slow hash would add anything (docs/decisions/047). It is JSON text::

    {"version": 1, "tokens": [{"principal": "shop-berlin", "sha256": "ab12...", "created": "2026-01-31"}]}

A principal may have several tokens: add the new one, hand it out, forget the old one. The file is replaced as a whole,
under a lock on a file beside it, so that two commands at once lose nothing and a reader never sees half of it.
"""

import fcntl
import os
import re
import secrets
import stat
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from typing import Final

import msgspec

from shipper.errors import ShipperError
from shipper.log import get_logger
from shipper.wire.files import contents, signature

log = get_logger("tokens")

_BITS: Final = 256
_PREFIX: Final = "shp_"
_PRINCIPAL: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.@-]{0,99}")
_LATER: Final = "was written by a newer shipper: upgrade this one"


class TokensError(ShipperError):
    """The tokens file cannot be used."""


class Token(msgspec.Struct, frozen=True):
    """One token, without the token."""

    principal: str
    """Whose it is: text for people, and the owner of the streams that use it."""
    sha256: str
    """Of the token's text, in hex."""
    created: str
    """The day, for people."""

    @property
    def id(self) -> str:
        """What names it in ``ls`` and ``forget``: the beginning of the hash."""
        return self.sha256[:8]


class _File(msgspec.Struct):
    version: int = 1
    tokens: list[Token] = []


_decode: Final = msgspec.json.Decoder(_File).decode


class Tokens:
    """The tokens that are good now."""

    def __init__(self, path: Path) -> None:
        """:raises ValueError: the file cannot be used."""
        self._path = path
        self._seen = signature(path)
        self._tokens: dict[bytes, str] = _digests(_load(path))

    def refresh(self) -> bool:
        """Read the file again if it changed; True where the tokens are others now. A file that cannot be used is
        logged once, and the tokens stay.
        """
        now = signature(self._path)
        if now == self._seen:
            return False
        self._seen = now
        try:
            tokens = _digests(_load(self._path))
        except ValueError as error:
            log.error("the tokens file cannot be used: the tokens read before stay good", why=str(error))
            return False
        if tokens == self._tokens:
            return False
        self._tokens = tokens
        log.info("the tokens file was read again", file=str(self._path), tokens=len(tokens))
        return True

    def principal(self, digest: bytes) -> str | None:
        """Whose token this is the hash of. Every token is compared, each in constant time."""
        found = None
        for known, principal in self._tokens.items():
            if compare_digest(known, digest):
                found = principal
        return found

    def __len__(self) -> int:
        return len(self._tokens)


def digest_of(token: str) -> bytes:
    """What the file holds of a token."""
    return sha256(token.encode()).digest()


def add(path: Path, principal: str, today: str) -> str:
    """Make a token for a principal, note it in the file (which is made if need be), and return it: nobody can show it
    again.

    :raises TokensError: the file cannot be used, or the name is none.
    """
    if not _PRINCIPAL.fullmatch(principal):
        raise TokensError(f"{principal!r} is no name: 1 to 100 letters, digits, '_', '.', '@' and '-'")
    token = _PREFIX + urlsafe_b64encode(secrets.token_bytes(_BITS // 8)).rstrip(b"=").decode()
    with _editing(path) as file:
        file.tokens.append(Token(principal, digest_of(token).hex(), today))
    return token


def forget(path: Path, name: str) -> list[Token]:
    """Take out every token of a principal, or the one with this id; return what was taken out.

    :raises TokensError: the file cannot be used, or nothing in it has that name.
    """
    with _editing(path) as file:
        gone = [token for token in file.tokens if name in (token.principal, token.id)]
        if not gone:
            known = ", ".join(sorted({token.principal for token in file.tokens})) or "none"
            raise TokensError(f"{path} has no token of {name!r}; it has tokens of: {known}")
        file.tokens = [token for token in file.tokens if token not in gone]
    return gone


def read(path: Path) -> list[Token]:
    """What the file holds.

    :raises TokensError: it cannot be used.
    """
    try:
        return _load(path).tokens
    except ValueError as error:
        raise TokensError(str(error)) from error


@contextmanager
def _editing(path: Path) -> Iterator[_File]:
    """The file's contents, written back at the end unless something was raised; nobody else edits meanwhile."""
    try:
        lock = os.open(path.with_name(f".{path.name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise TokensError(f"{path}: cannot be written: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        file = _load(path) if path.exists() else _File()
        yield file
        _replace(path, msgspec.json.format(msgspec.json.encode(file), indent=1) + b"\n")
    except ValueError as error:
        raise TokensError(str(error)) from error
    except OSError as error:
        raise TokensError(f"{path}: cannot be written: {error.strerror}") from error
    finally:
        os.close(lock)


def _replace(path: Path, data: bytes) -> None:
    """Durably, all or nothing. Owner, group and mode stay what they were: root edits what the collector's user reads,
    be it through the group. A new file is for its user alone.
    """
    new = path.with_name(f".{path.name}.new")
    new.unlink(missing_ok=True)
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        if path.exists():
            before = path.stat()
            if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(descriptor, before.st_uid, before.st_gid)
            os.fchmod(descriptor, stat.S_IMODE(before.st_mode))  # after the owner: a change of owner may clear bits
        with open(descriptor, "wb", closefd=False) as file:
            file.write(data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _load(path: Path) -> _File:
    """:raises ValueError: the file cannot be used; the message shows nothing of it."""
    data = contents(path, missing=f"'shipper tokens add NAME --file {path}' makes it")
    try:
        file = _decode(data)
        if file.version != 1:
            raise ValueError(f"{path} {_LATER}")
        _digests(file)
    except msgspec.MsgspecError as error:
        raise ValueError(f"{path} is not a tokens file: {error}") from error
    return file


def _digests(file: _File) -> dict[bytes, str]:
    try:
        return {bytes.fromhex(token.sha256): token.principal for token in file.tokens}
    except ValueError as error:
        raise ValueError("a tokens file with a hash that is not hex") from error
