"""Agents whose processor refuses lines until its setting is mended, and ``shipper dlq`` as an operator calls it."""

import contextlib
import io
from pathlib import Path
from typing import NamedTuple

import orjson
from support.processes import Node, records, wait_for

from shipper.cli import main

STRICT = '''
"""Beside the config."""

from shipper import Processor, Record


class Strict(Processor):
    """Refuse lines with a word in them."""

    word: str = ""

    def process(self, record: Record) -> Record:
        if self.word and self.word in str(record["message"]):
            raise ValueError(f"the word is {self.word}")
        return record
'''


class Called(NamedTuple):
    """What a command did."""

    returncode: int
    stdout: str
    stderr: str


def dlq(*arguments: str | Path) -> Called:
    """One call of ``shipper dlq``, to its end."""
    return called("dlq", *arguments)


def called(*arguments: str | Path) -> Called:
    """One call of ``shipper``."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([*map(str, arguments)])
    texts = []
    for stream in (out, err):
        stream.flush()
        stream.seek(0)
        texts.append(stream.read())
    return Called(code, *texts)


def listed(agent: Node, *arguments: str) -> list[dict[str, object]]:
    """What ``dlq ls --json`` shows."""
    shown = dlq("ls", agent.config, "--json", *arguments)
    assert shown.returncode == 0, shown.stderr
    return [orjson.loads(line) for line in shown.stdout.splitlines()]


class StrictAgent(Node):
    """Reads ``a.log`` and refuses lines with the word ``bad`` until it is mended."""

    def __init__(self, folder: Path, sinks: str = "", more: str = "", inside: tuple[str, ...] = ()) -> None:
        """``sinks``: instead of a file ``out.ndjson``; ``more``: of the config."""
        self.folder = folder
        self.written = folder / "a.log"
        self.written.touch()
        self.out = folder / "out.ndjson"
        (folder / "strict.py").write_text(STRICT)
        sinks = sinks or f"{{out: {{type: file, path: '{self.out}'}}}}"
        super().__init__(
            folder,
            "agent",
            f"data_dir: {folder}/data\nsources: {{app: {{type: file, include: ['{self.written}']}}}}\n"
            f"processors: [{{'{folder}/strict.py:Strict': {{word: bad}}}}]\nsinks: {sinks}\n{more}",
            inside,
        )

    def write(self, lines: int, *, bad: int, width: int = 1) -> None:
        """Lines with their numbers, of which each ``bad``th is refused."""
        with self.written.open("a") as file:
            file.writelines(f"{n} {'bad' if n % bad == 0 else 'good'} {'x' * width}\n" for n in range(lines))

    def up_and_running(self) -> "StrictAgent":
        """Start it, and wait until it is there."""
        self.start()
        wait_for(lambda: self.up, f"the agent\n{self.output()[-2000:]}")
        return self

    def mend(self) -> None:
        """From the next start on nothing is refused."""
        self.edit("word: bad", "word: ''")

    def edit(self, old: str, new: str) -> None:
        """Change the config."""
        text = self.config.read_text()
        assert old in text
        self.config.write_text(text.replace(old, new))

    def arrived(self, path: Path) -> int:
        """How many lines a sink has written; the last one may be half written now."""
        return path.read_bytes().count(b"\n") if path.exists() else 0

    def numbers(self, path: Path | None = None) -> list[int]:
        """Of the lines that arrived, sorted."""
        path = path or self.out
        return sorted(int(str(record["message"]).split()[0]) for record in records(path)) if path.exists() else []
