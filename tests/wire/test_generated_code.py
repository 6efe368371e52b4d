"""The generated code that is committed."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_generated_code_is_that_of_the_contract() -> None:
    done = subprocess.run(
        [sys.executable, "proto/generate.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_grpc_is_imported_only_when_a_component_of_it_is() -> None:
    code = (
        "import sys, shipper.sinks.base, shipper.sources.base, shipper.spool.frame\n"
        "assert not {'grpc', 'google.protobuf'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
