"""Real certificates, made by openssl."""

import subprocess
from pathlib import Path


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


class Authority:
    """A certificate authority in a folder of its own."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._folder = folder
        self.cert = folder / f"{name}.pem"
        self._key = folder / f"{name}.key"
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        _openssl("req", "-x509", *curve, "-keyout", self._key, "-out", self.cert, "-days", 365, "-subj", f"/CN={name}")

    def issue(
        self, name: str, *, host: str = "IP:127.0.0.1", days: int = 90, expired: bool = False
    ) -> tuple[Path, Path]:
        """A certificate for a host, and its key. ``expired``: it was valid for a month of 2020."""
        cert, key, request = (self._folder / f"{name}.{kind}" for kind in ("pem", "key", "csr"))
        curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
        _openssl("req", *curve, "-keyout", key, "-out", request, "-subj", f"/CN={name}")
        database = self._folder / f"{name}.db"
        database.mkdir()
        (database / "index.txt").touch()
        (database / "serial").write_text("01\n")
        settings = database / "settings"
        settings.write_text(
            f"[ca]\ndefault_ca=one\n[one]\ndatabase={database}/index.txt\nserial={database}/serial\n"
            f"new_certs_dir={database}\ndefault_md=sha256\npolicy=any\n[any]\ncommonName=supplied\n"
            f"[host]\nsubjectAltName={host}\n"
        )
        span = ["-startdate", "20200101000000Z", "-enddate", "20200201000000Z"] if expired else ["-days", str(days)]
        _openssl(
            "ca", "-batch", "-config", settings, "-extensions", "host", "-notext", *span, "-in", request,
            "-out", cert, "-cert", self.cert, "-keyfile", self._key,
        )  # fmt: skip
        return cert, key
