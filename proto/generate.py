"""Generate shipper/v1 from ingest.proto, or with ``--check`` say whether the committed code is stale.

Usage: python proto/generate.py [--check]

The generator's version is pinned in pyproject.toml (extra ``dev``): the same input gives the same bytes everywhere.
"""

import argparse
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

from grpc_tools import protoc  # type: ignore[import-untyped]

ROOT = Path(__file__).resolve().parent.parent
PROTO = "shipper/v1/ingest.proto"


def generate(into: Path) -> list[Path]:
    """Write the generated files below ``into``; return their paths relative to it.

    The import path in them is ``shipper.v1``, that of the package, because the .proto lies below ``proto/`` just as the
    code lies below the root: nothing needs rewriting.
    """
    includes = [ROOT / "proto", Path(str(files("grpc_tools"))) / "_proto"]
    arguments = [f"-I{path}" for path in includes]
    outputs = [f"--{kind}_out={into}" for kind in ("python", "pyi", "grpc_python")]
    if protoc.main(["protoc", *arguments, *outputs, PROTO]) != 0:
        raise SystemExit(f"protoc failed on proto/{PROTO}")
    return sorted(path.relative_to(into) for path in into.rglob("*") if path.is_file())


def stale(fresh: Path, paths: list[Path]) -> list[str]:
    """Name the committed files that differ from the fresh ones, are missing, or should not be there."""
    committed = {path.relative_to(ROOT) for path in (ROOT / "shipper" / "v1").glob("*_pb2*")}
    wrong = [
        path
        for path in paths
        if not (ROOT / path).exists() or (ROOT / path).read_bytes() != (fresh / path).read_bytes()
    ]
    return sorted(str(path) for path in {*wrong, *(committed - set(paths))})


def main() -> int:
    """Generate, or check; the exit code is 1 when something is stale."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 when the code is stale")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as directory:
        fresh = Path(directory)
        paths = generate(fresh)
        if check:
            wrong = stale(fresh, paths)
            for name in wrong:
                sys.stderr.write(f"{name} is stale: run `python proto/generate.py` and commit the result\n")
            return 1 if wrong else 0
        for path in paths:
            (ROOT / path).write_bytes((fresh / path).read_bytes())
    return 0


if __name__ == "__main__":
    sys.exit(main())
