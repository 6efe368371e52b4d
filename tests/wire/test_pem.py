"""What is read of PEM files."""

import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.certificates import Authority

from shipper.wire.pem import certificates, check_key, validity


def test_the_dates_are_those_that_openssl_shows(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    cert, _ = authority.issue("node", days=90)
    shown = subprocess.run(
        ["openssl", "x509", "-in", str(cert), "-noout", "-startdate", "-enddate"], check=True, capture_output=True
    ).stdout.decode()
    expected = [
        datetime.strptime(line.partition("=")[2], "%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC)
        for line in shown.splitlines()
    ]
    (der,) = certificates(cert.read_bytes())
    assert list(validity(der)) == expected


def test_dates_after_2049_are_read_too(tmp_path: Path) -> None:
    cert, _ = Authority(tmp_path).issue("node", days=36500)
    assert validity(certificates(cert.read_bytes())[0])[1].year > 2100


def test_a_chain_gives_all_its_certificates_in_order(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    cert, _ = authority.issue("node", expired=True)
    chain = certificates(cert.read_bytes() + b"text between\n" + authority.cert.read_bytes())
    assert validity(chain[0])[1] == datetime(2020, 2, 1, tzinfo=UTC)
    assert validity(chain[1])[1] > datetime.now(UTC)


def test_every_beginning_of_a_file_is_refused_with_a_sentence(tmp_path: Path) -> None:
    whole = Authority(tmp_path).cert.read_bytes().rstrip()
    for end in range(len(whole)):
        with pytest.raises(ValueError, match=r"certificate"):
            certificates(whole[:end])


@given(st.binary(max_size=300))
def test_bytes_that_are_no_certificate_are_an_error_of_ours(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        validity(data)
    assert "certificate" in str(caught.value) or "does not match format" in str(caught.value)


@given(st.integers(0, 2000), st.integers(0, 255))
def test_a_damaged_certificate_never_crashes_the_reader(der_and_place: int, value: int) -> None:
    damaged = bytearray(_DER)
    damaged[der_and_place % len(damaged)] = value
    try:
        first, last = validity(bytes(damaged))
    except ValueError:
        return
    assert first.tzinfo is last.tzinfo is UTC


def test_keys_with_a_passphrase_are_named_as_that() -> None:
    with pytest.raises(ValueError, match="passphrase"):
        check_key(b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n")
    with pytest.raises(ValueError, match="no private key"):
        check_key(b"-----BEGIN PRIVATE KEY-----\nAAAA\n")
    check_key(b"-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n")


def _der() -> bytes:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return certificates(Authority(Path(folder)).cert.read_bytes())[0]


_DER = _der()
