"""Do the model tests notice when the spool forgets a sync? Each mutant is a copy of ``shipper`` with one mistake in it.

    .venv/bin/python tests/model/check_mutants.py [WORD]

Every call of ``sync`` and ``sync_folder`` in ``shipper/spool`` is taken out, one at a time; and some orders are
swapped. First the tests must pass without a mistake, and every mutant must compile. Prints a Markdown table; exits 1
when a mutant passes all tests. WORD: only mutants with it in their name.
"""
# ruff: noqa: T201 - a tool that prints

import ast
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parents[2]
SEEDS: Final = (1, 2, 3)
PYTEST: Final = (sys.executable, "-m", "pytest", "-x", "-p", "no:cacheprovider", "--timeout=0")
BUDGET: Final = {"PYTHONDONTWRITEBYTECODE": "1", "SPOOL_EXAMPLES": "1500", "SPOOL_STEPS": "40"}

# file, what it is, the code, the mistake
SWAPS: Final = (
    (
        "retention.py",
        "segments are unlinked before the cursors are synced",
        """    log.sync_cursors()
    for number in gone:
        disk.unlink(segment_name(number))
        disk.unlink(snapshot_name(number))
""",
        """    for number in gone:
        disk.unlink(segment_name(number))
        disk.unlink(snapshot_name(number))
    log.sync_cursors()
    for number in gone:
""",
    ),
    (
        "retention.py",
        "segments are unlinked while the cursors are not written",
        "    log.sync_cursors()\n    for number in gone:",
        "    for number in gone:",
    ),
    (
        "store.py",
        "the dead letters' cursor moves before they are synced",
        "        reader.close()\n        self.dead.sync()\n",
        """        reader.close()
        self._cursor.place(CursorValue(self.log.next_seq, self.log.durable))
        self.log.sync_cursors()
        self.dead.sync()
""",
    ),
    (
        "log.py",
        "cursors are not written again at the opening",
        "        self.sync_cursors(moved_only=False)  #",
        "        self.sync_cursors()  #",
    ),
    (
        "upstream.py",
        "duplicates are not judged",
        "    if last < expected:\n        return DUPLICATE\n",
        "",
    ),
    (
        "tail.py",
        "a torn frame is taken over",
        "if unsure and envelope.frame_size and is_torn(part):",
        "if False:",
    ),
    (
        "tail.py",
        "a batch without its last entry is taken over",
        "        if envelope.flags & CONTINUED and unsure:",
        "        if False:",
    ),
    (
        "recovery.py",
        "what stands behind the last whole batch stays",
        "        file.truncate(newest.end)\n",
        "",
    ),
    (
        "streams.py",
        "the epoch is not raised",
        "max(old.epoch, epoch) + 1",
        "max(old.epoch, epoch, 1)",
    ),
)


class Mutant(NamedTuple):
    """One mistake."""

    file: str
    name: str
    text: str
    """The whole file with the mistake."""


def mutants() -> Iterator[Mutant]:
    """Every mistake."""
    for path in sorted((ROOT / "shipper" / "spool").glob("*.py")):
        if path.name == "disk.py":  # the real disk: tests/spool/test_disk.py
            continue
        source = path.read_text()
        lines = source.splitlines(keepends=True)
        tree = ast.parse(source)
        functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
        for node in ast.walk(tree):
            if not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
                continue
            call = node.value.func
            if not (isinstance(call, ast.Attribute) and call.attr in ("sync", "sync_folder")):
                continue
            line = lines[node.lineno - 1]
            changed = [*lines]
            changed[node.lineno - 1] = " " * node.col_offset + "pass\n"
            owner = max(
                (f for f in functions if f.lineno <= node.lineno <= (f.end_lineno or 0)), key=lambda f: f.lineno
            )
            code = re.sub(r"\s*#.*", "", line.strip())
            ast.parse("".join(changed))
            yield Mutant(path.name, f"`{owner.name}` without `{code}` (line {node.lineno})", "".join(changed))
    for file, name, before, after in SWAPS:
        source = (ROOT / "shipper" / "spool" / file).read_text()
        if before not in source:
            sys.exit(f"{file} does not hold what the mutant {name!r} replaces")
        text = source.replace(before, after)
        ast.parse(text)  # a file that does not even load would count as caught
        yield Mutant(file, name, text)


def caught(mutant: Mutant | None, place: Path) -> tuple[int, str] | None:
    """The seed with which a test failed, and how; None when all passed."""
    target = place / "shipper" / "spool" / (mutant.file if mutant else "log.py")
    original = target.read_text()
    if mutant is not None:
        target.write_text(mutant.text)
    try:
        for seed, test in [(0, "crashes"), *((seed, "machine") for seed in SEEDS)]:
            done = subprocess.run(
                [*PYTEST, f"--hypothesis-seed={seed}", f"tests/model/test_spool_{test}.py"],
                cwd=place,
                env=os.environ | BUDGET,
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode:
                return seed, f"{test}: {_reason(done.stdout)}"
    finally:
        target.write_text(original)
    return None


def _reason(output: str) -> str:
    found = re.findall(r"^\s*(?:\|\s*|E\s+)*((?:\w+\.)*\w*(?:Error|Exception|Timeout)\b.*)", output, re.MULTILINE)
    found = [text for text in found if "Group" not in text]
    return found[0][:100].strip().replace("|", "/") if found else "failed"


def main() -> int:
    """See the module."""
    word = sys.argv[1] if len(sys.argv) > 1 else ""
    missed = 0
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for name in ("shipper", "tests/support", "tests/model"):
            shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(ROOT / "pyproject.toml", place)
        if (broken := caught(None, place)) is not None:
            sys.exit(f"the tests fail without any mistake, so they can show none: {broken[1]}")
        print("| file | mutant | result | seed | seconds | how it showed |\n|---|---|---|---|---|---|", flush=True)
        for mutant in mutants():
            if word not in f"{mutant.file} {mutant.name}":
                continue
            began = time.monotonic()
            result = caught(mutant, place)
            missed += result is None
            seed, how = result or ("", "")
            print(
                f"| {mutant.file} | {mutant.name} | {'caught' if result else '**missed**'} | {seed} "
                f"| {time.monotonic() - began:.0f} | {how} |",
                flush=True,
            )
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
