"""Fluent Bit: tail with a parser, grep, record_modifier and modify, the file output. It must be there already: no
registry that the bench uses has it.
"""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from benchmarks import verify
from benchmarks.peers.peer import Missing, Peer
from benchmarks.throughput import COMBINED

_CONFIG: Final = """\
[SERVICE]
    Flush 1
    Daemon off
    Log_Level error
    Parsers_File {folder}/parsers.conf
[INPUT]
    Name tail
    Path {path}
    Parser {parser}
    Read_from_Head on
    Buffer_Chunk_Size 256k
    Buffer_Max_Size 1M
    Mem_Buf_Limit 64M
{filters}
[OUTPUT]
    Name file
    Match *
    Path {folder}
    File {file}
    Format plain
"""
_PARSERS: Final = f"""\
[PARSER]
    Name json
    Format json
[PARSER]
    Name combined
    Format regex
    Regex ^{COMBINED.replace("(?P<", "(?<")}$
    Types status:integer bytes:integer
"""
_DROP: Final = "[FILTER]\n    Name grep\n    Match *\n    Exclude level ^debug$"
_KEEP: Final = "[FILTER]\n    Name grep\n    Match *\n    Regex level ^error$"
_ADD: Final = "\n".join(
    ("[FILTER]\n    Name record_modifier\n    Match *", *(f"    Record {k} {v}" for k, v in verify.CONSTANTS.items()))
)
_CHANGE: Final = "\n".join(
    f"[FILTER]\n    Name modify\n    Match *\n    Condition Key_value_equals level {level}\n"
    f"    Set level {level.upper()}"
    for level in ("info", "warn", "error")
)
"""No filter of it makes capitals but a script, which would take longer: one rule for each level."""
_FILTERS: Final = {"2": (_DROP, _ADD), "3": (_DROP, _ADD, _CHANGE), "4": (), "5": (_KEEP,)}


class FluentBit(Peer):
    """Its defaults: chunks in memory, a worker thread for the output; the input may hold 64 MB."""

    name = "Fluent Bit"
    promise = (
        "not durable: nothing is synced; chunks are in memory and no position is kept, so after a crash the file is "
        "read again from its beginning"
    )

    def find(self, folder: Path) -> str:  # noqa: ARG002 -- nothing is installed
        """``fluent-bit`` in the PATH, or where its packages put it."""
        program = shutil.which("fluent-bit", path=f"{os.environ.get('PATH', '')}:/opt/fluent-bit/bin")
        if program is None:
            raise Missing("there is no fluent-bit in the PATH or in /opt/fluent-bit/bin; its makers have packages")
        return program

    def version(self, program: str) -> str:
        """As ``fluent-bit --version`` has it."""
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
        return said.splitlines()[0].replace(" v", " ")

    def command(self, program: str, number: str, log: Path, output: Path) -> list[str]:
        """The classic form of its configuration."""
        folder = output.parent
        (folder / "parsers.conf").write_text(_PARSERS)
        config = folder / "fluent-bit.conf"
        parser = "combined" if number == "4" else "json"
        filters = "\n".join(_FILTERS[number])
        config.write_text(_CONFIG.format(folder=folder, path=log, parser=parser, filters=filters, file=output.name))
        return [program, "-c", str(config)]
