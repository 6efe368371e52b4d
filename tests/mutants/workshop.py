"""A copy of the tree in which mistakes are made, and tests run to see whether they notice."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Final, Literal, NamedTuple

from mutants.mutant import Mutant

_LEFT: Final = (".git", ".venv", ".hypothesis", ".*_cache", "__pycache__", "work")
_PYTEST: Final = ("-m", "pytest", "-x", "-n0", "-rfE", "--tb=short", "--color=no", "-p", "no:cacheprovider")
_USUAL: Final = ("--timeout=120", "--hypothesis-seed=1")
_PATIENCE: Final = 600
"""Seconds that one call of pytest may take. One that hangs has noticed too: without the mistake it ends."""
WHOLE: Final = "tests --ignore=tests/mutants"
"""Every test but those of the mistakes themselves, which no longer fit where one was made."""
_FAILED: Final = 1
"""pytest's exit code when tests ran and some failed."""


class Outcome(NamedTuple):
    """What became of a mistake."""

    verdict: Literal["caught", "survived", "broken"]
    """"broken": the tests did not get as far as to say anything, which proves nothing."""
    by: str
    """The test that failed, or why none could."""
    seconds: float
    test: str = ""
    """The call of pytest that runs it alone."""


class Workshop:
    """One copy. One mistake is in it at a time; the original of a file comes back after it."""

    def __init__(self, root: Path, place: Path) -> None:
        """``place``: a folder that is not there yet.

        :raises RuntimeError: another copy of shipper than this one would be tested.
        """
        self._place = place
        shutil.copytree(root, place, ignore=shutil.ignore_patterns(*_LEFT))
        paths = [place, place / "processors", place / "tests"]
        self._environment = os.environ | {
            "PYTHONPATH": os.pathsep.join(map(str, paths)),  # goes before the tree that is installed
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        for module in ("shipper", "shipper_processors"):
            done = self._python("-c", f"import {module}; print({module}.__file__)", cwd=place.parent)
            if not done.stdout.startswith(f"{place}{os.sep}"):
                raise RuntimeError(f"the tests would not see the copy in {place}: {done.stdout or done.stderr}")

    def tried(self, mutant: Mutant, *, whole: bool = False) -> Outcome:
        """Make the mistake, run its tests until one fails, and take it back.

        ``whole``: when they all pass, run every test there is.
        """
        began = time.monotonic()
        target = self._place / mutant.file
        original = target.read_text("utf-8")
        target.write_text(mutant.text, "utf-8")
        try:
            done = self._python("-c", f"import {mutant.module}", cwd=self._place)
            if done.returncode:
                return Outcome("broken", f"it cannot be imported: {_last(done.stderr)}", time.monotonic() - began)
            for test in (*mutant.tests, *([WHOLE] if whole else [])):
                found = self.run(test)
                if found is not None:
                    return found._replace(seconds=time.monotonic() - began)
        finally:
            target.write_text(original, "utf-8")
            shutil.rmtree(self._place / ".hypothesis", ignore_errors=True)  # another mistake begins from nothing
        return Outcome("survived", "", time.monotonic() - began)

    def run(self, test: str) -> Outcome | None:
        """Call pytest; None: every test passed."""
        began = time.monotonic()
        words = shlex.split(test)
        settings = [word for word in words if re.match(r"[A-Z_]+=", word)]
        words = [word for word in words if word not in settings]
        done = self._python(*_PYTEST, *_USUAL, *words, cwd=self._place, settings=settings)
        took = time.monotonic() - began
        if done.returncode == 0:
            return None
        if done.returncode == -signal.SIGKILL:
            return Outcome("caught", f"`{test}` does not end", took, test)
        named = re.findall(r"^(?:FAILED|ERROR) (\S+::.*?)(?: - .*)?$", done.stdout, re.MULTILINE)
        if done.returncode == _FAILED and named:
            alone = shlex.join([named[0], *words[1:], *settings])
            return Outcome("caught", f"`{named[0]}`", took, alone)
        if done.returncode == _FAILED and "Timeout" in done.stdout + done.stderr:
            return Outcome("caught", f"`{test}` does not end", took, test)
        return Outcome("broken", f"pytest {test}: {_last(done.stdout + done.stderr)}", took)

    def _python(self, *words: str, cwd: Path, settings: list[str] | None = None) -> "subprocess.CompletedProcess[str]":
        environment = self._environment | dict(setting.split("=", 1) for setting in settings or ())
        process = subprocess.Popen(
            [sys.executable, *words],
            cwd=cwd,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        try:
            out, err = process.communicate(timeout=_PATIENCE)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            out, err = process.communicate()
        return subprocess.CompletedProcess(words, process.returncode, out, err)


def _last(output: str) -> str:
    """The last line that says something."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "it says nothing"
