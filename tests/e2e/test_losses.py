"""Bytes of a file that were gone before they could be read, through real processes: counted once, with their name."""

import os
import re
import subprocess
import sys
from pathlib import Path

from support.processes import Node, free_port, wait_for
from support.scraped import metric

from .test_backpressure import fetch
from .test_ways import agent, collector


def cat(node: Node) -> tuple[str, list[str]]:
    """What ``shipper spool cat`` says of a node's spool: records, and the rest."""
    command = [sys.executable, "-m", "shipper", "spool", "cat", str(node.config)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout, done.stderr.splitlines()


def test_what_was_truncated_behind_a_full_spool_is_counted_once_over_kills_at_every_hop(tmp_path: Path) -> None:
    """What arrives and what is lost make the whole file, to the byte."""
    log = tmp_path / "logs" / "a.log"
    log.parent.mkdir()
    lines = [f"{n} {os.urandom(400).hex()}" for n in range(20_000)]
    log.write_text("\n".join(lines) + "\n")
    size = log.stat().st_size
    port, admin = free_port(), free_port()
    source = agent(
        tmp_path,
        f"{{c: {{type: grpc, addresses: ['127.0.0.1:{port}'], backoff: {{max: 500ms}}}}}}",
        f"spool: {{max_bytes: 2MiB}}\nadmin: {{listen: '127.0.0.1:{admin}'}}\n",
    )
    source.start()
    wait_for(lambda: "no room" in source.output(), "the full spool")
    wait_for(lambda: metric(admin, "shipper_source_lag_bytes{") > 1_000_000, "a look at the file")
    log.write_text("the file begins anew\n")
    extra = "spool: {max_bytes: 64MiB}\nshutdown_timeout: 0s\nprocessors: [{add_fields: {fields: {site: north}}}]\n"
    away = f"{{away: {{type: grpc, addresses: ['127.0.0.1:{free_port()}']}}}}"
    target = collector(tmp_path, port, away, extra)
    target.start()
    labels = f'{{source="app",file="{log}",reason="truncated"}}'
    wait_for(lambda: metric(admin, f"shipper_source_lost_bytes_total{labels}") > 0, "the loss")
    lost = metric(admin, f"shipper_source_lost_bytes_total{labels}")
    assert metric(admin, 'shipper_lost_bytes_total{reason="truncated"}') == lost
    _, status = fetch(admin, "status")
    (shown,) = status["sources"]["app"]["lost"]
    assert (shown["file"], shown["bytes"], shown["reason"]) == (str(log), lost, "truncated")
    assert shown["first"] + lost == size
    source.kill()
    source.start()
    with log.open("a") as file:
        file.write("the last line\n")
    wait_for(lambda: "the last line" in cat(target)[0], "the last line")
    assert metric(admin, 'shipper_lost_bytes_total{reason="truncated"}') == 0, "it was counted before"
    assert source.stop() == 0, source.output()
    assert target.stop() == 0, target.output()
    shipped, said = cat(target)
    arrived = re.findall(r'"message":"(\d+ \w+)"', shipped)
    assert arrived == lines[: len(arrived)]
    first = len("\n".join(arrived)) + 1
    (gap,) = [line for line in said if "can never be read" in line]
    assert '"site":"north"' in shipped, "records are framed anew there; the gap passes as it is"
    assert gap.endswith(f": bytes {first} to {size} of {log} can never be read: truncated")
    assert source.output().count("bytes of a file can never be read") == 1
