"""Writes shipper.yaml, the plain manifests, from the chart: ``python deploy/kubernetes/generate.py [--check]``.

The chart is the one source. ``--check`` writes nothing and fails when a file is stale. Beside the manifests it renders
the values in tests/deploy/charts, whose output the tests judge: they need no helm by that. Helm is $HELM, or ``helm``.
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parent
ROOT: Final = FOLDER.parents[1]
CASES: Final = ROOT / "tests" / "deploy" / "charts"
KUBERNETES: Final = "1.34.0"
"""The version of Kubernetes that helm is told it renders for."""
_HEAD: Final = """\
# Made by deploy/kubernetes/generate.py from the chart beside this file{values}. Do not edit.
"""
_USE: Final = """\
#
#     kubectl create namespace shipper && kubectl apply -f deploy/kubernetes/shipper.yaml
"""


def render(values: Path | None) -> str:
    """The manifests for a file of values; None: those that the chart has."""
    command = [os.environ.get("HELM", "helm"), "template", "shipper", str(FOLDER / "chart"), "--namespace", "shipper"]
    command += ["--kube-version", KUBERNETES, *([] if values is None else ["--values", str(values)])]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - helm itself
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def main() -> int:
    """Write or check; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail when a file is stale")
    check = parser.parse_args().check
    files = {FOLDER / "shipper.yaml": _HEAD.format(values="") + _USE + render(None)}
    for values in sorted(CASES.glob("*.values.yaml")):
        made = _HEAD.format(values=f" with {values.name}") + render(values)
        files[values.with_name(values.name.replace(".values.", ".rendered."))] = made
    stale = [path for path, text in files.items() if not path.exists() or path.read_text() != text]
    for path in stale:
        if check:
            sys.stderr.write(f"{path.relative_to(ROOT)} is stale: python deploy/kubernetes/generate.py\n")
        else:
            path.write_text(files[path])
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
