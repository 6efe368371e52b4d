"""Debian's rsyslog: imfile, mmjsonparse or mmnormalize, omfile."""

import subprocess
from pathlib import Path
from typing import Final

from benchmarks import rsyslog
from benchmarks.peers.peer import Missing, Peer
from benchmarks.rsyslog import ADD, DROP, PARSE, WRITE

_MORE: Final = """\
module(load="mmnormalize")
template(name="upper" type="string" string="%$!level:::uppercase%")"""
_CHANGE: Final = 'set $!level = exec_template("upper");'
_KEEP: Final = 'if $!level != "error" then stop'
_NORMALIZE: Final = 'action(type="mmnormalize" ruleBase="RULES")'
_RULES: Final = {
    "2": (PARSE, DROP, ADD, WRITE),
    "3": (PARSE, DROP, ADD, _CHANGE, WRITE),
    "4": (_NORMALIZE, WRITE),
    "5": (PARSE, _KEEP, WRITE),
}
_COMBINED: Final = """\
version=2
rule=:%remote:word% %-:word% %user:word% [%time:char-to:]%] "%method:word% %path:word% %protocol:char-to:"%" \
%{"name": "status", "type": "number", "format": "number"}% %{"name": "bytes", "type": "number", "format": "number"}% \
"%referer:char-to:"%" "%agent:char-to:"%"
"""
"""For liblognorm, which takes a line apart by a parse tree, not by regular expressions."""


class Rsyslog(Peer):
    """One worker of the main queue; the action runs in it, without a queue of its own."""

    name = "rsyslog"
    promise = (
        "not durable: nothing is synced; a crash loses what is in memory, or repeats what was read since the last "
        "state file"
    )

    def find(self, folder: Path) -> str:  # noqa: ARG002 -- nothing is installed
        """rsyslogd, where the system has it."""
        program = rsyslog.find()
        if program is None:
            raise Missing("there is no rsyslogd; Debian, Ubuntu: apt install rsyslog")
        return program

    def version(self, program: str) -> str:
        """As ``rsyslogd -v`` has it."""
        said = subprocess.run([program, "-v"], capture_output=True, text=True, check=True).stdout
        return f"{self.name} {said.split()[1]}"

    def command(self, program: str, number: str, log: Path, output: Path) -> list[str]:
        """With a rule base for the access log."""
        rule_base = output.parent / "combined.rule"
        rule_base.write_text(_COMBINED)
        rules = "\n".join(_RULES[number]).replace("RULES", str(rule_base))
        return rsyslog.command(program, rules, log, output, _MORE)
