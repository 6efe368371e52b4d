"""The way of an author, from the guide's text alone: begin a package, write it, install it, use it."""

import os
import re
import subprocess
import sysconfig
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "guide" / "processors.md").read_text("utf-8")
STEPS = re.findall(r"^```(sh|python|yaml) author ?(\S*)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)


@pytest.fixture(name="bin")
def _bin(tmp_path: Path) -> Path:
    """The programs of an environment that has what this one has, and room for more."""
    environment = tmp_path / "venv"
    venv.create(environment, symlinks=True)
    (site,) = environment.glob("lib/python*/site-packages")
    paths = [sysconfig.get_paths()["purelib"], str(ROOT), str(ROOT / "processors")]
    (site / "beside.pth").write_text("".join(f"import site; site.addsitedir({path!r})\n" for path in paths))
    for name in ("shipper", "pip", "pytest"):
        program = environment / "bin" / name
        program.write_text(f'#!/bin/sh\nexec {environment}/bin/python -m {name} "$@"\n')
        program.chmod(0o755)
    return environment / "bin"


def test_the_guide_leads_from_nothing_to_a_processor_that_is_used(bin: Path, tmp_path: Path) -> None:  # noqa: A002
    work = tmp_path / "work"
    work.mkdir()
    said = ""
    offline = {
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_NO_DEPS": "1",
        "PYTEST_ADDOPTS": "-p no:asyncio",
    }
    environment = {**os.environ, **offline, "PATH": f"{bin}:{os.environ['PATH']}"}
    for kind, name, text in STEPS:
        if kind == "sh":
            command = ["sh", "-ec", text]
            done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stdout + done.stderr
            said += done.stdout
        else:
            assert (work / name).exists(), "the guide changes what shipper new has written"
            (work / name).write_text(text)
    assert len(STEPS) == 5
    assert "2 cases, all hold\n" in said
    assert '~ message: "a line" -> "A LINE"' in said
