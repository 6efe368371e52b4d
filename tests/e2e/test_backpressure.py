"""An operator sees that a sink is away, what waits for it, and when the spool is full; and that it is over."""

import json
import os
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from support.processes import free_port, records, wait_for
from support.scraped import metric

from shipper.pace import CAUGHT_UP

from .test_ways import agent, collector


def fetch(port: int, page: str) -> tuple[int, Any]:
    """Status and JSON of a page."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_a_dead_sink_and_a_full_spool_show_in_log_metrics_readyz_and_status_until_they_are_over(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    lines = [f"{n} {os.urandom(400).hex()}" for n in range(30_000)]
    (tmp_path / "logs" / "a.log").write_text("\n".join(lines) + "\n")
    port, admin = free_port(), free_port()
    source = agent(
        tmp_path,
        f"{{c: {{type: grpc, addresses: ['127.0.0.1:{port}'], backoff: {{max: 500ms}}}}}}",
        f"spool: {{max_bytes: 2MiB}}\nadmin: {{listen: '127.0.0.1:{admin}'}}\n",
    )
    source.start()
    wait_for(lambda: "no room" in source.output(), "the full spool")
    said = next(json.loads(line) for line in source.output().splitlines() if "no room" in line)
    assert (said["reason"], said["directory"]) == ("max_bytes", f"{tmp_path}/agent/spool")
    assert said["used_bytes"] > 1_000_000 < said["free_bytes"]

    def is_old() -> bool:
        return metric(admin, 'shipper_sink_oldest_unacked_seconds{sink="c"}') > CAUGHT_UP

    wait_for(is_old, "the age of the oldest frame")
    assert metric(admin, 'shipper_spool_blocked{reason="max_bytes"}') == 1
    assert metric(admin, "shipper_spool_full_in_seconds") == 0
    assert metric(admin, 'shipper_sink_drained_in_seconds{sink="c"}') == float("inf")
    wait_for(lambda: metric(admin, "shipper_source_lag_bytes{") > 1_000_000, "a look at the file")
    assert metric(admin, 'shipper_sink_backlog_bytes{sink="c"}') > 1_000_000
    code, ready = fetch(admin, "readyz")
    assert code == 503
    assert any("no room (max_bytes)" in reason for reason in ready["reasons"])
    assert metric(admin, "shipper_ready") == 0
    wait_for(lambda: "not ready" in source.output(), "the log")
    _, status = fetch(admin, "status")
    assert (status["spool"]["blocked_by"], status["spool"]["full_in_seconds"]) == ("max_bytes", 0)
    assert status["sinks"]["c"]["oldest_unacked_seconds"] >= CAUGHT_UP
    assert status["sinks"]["c"]["drained_in_seconds"] is None
    assert status["sources"]["app"]["unread_bytes"] > 1_000_000

    target = collector(tmp_path, port, f"{{archive: {{type: file, path: '{tmp_path}/out.ndjson'}}}}")
    target.start()
    out = tmp_path / "out.ndjson"
    wait_for(lambda: out.exists() and out.read_bytes().count(b"\n") == len(lines), "all lines")
    assert [record["message"] for record in records(out)] == lines
    wait_for(lambda: fetch(admin, "readyz")[0] == 200, "readiness")
    # The collector may have written what the agent does not yet know to be there.
    wait_for(lambda: metric(admin, 'shipper_sink_oldest_unacked_seconds{sink="c"}') == 0, "all acknowledgements")
    _, status = fetch(admin, "status")
    assert (status["spool"]["blocked_by"], status["sinks"]["c"]["drained_in_seconds"]) == (None, 0)
    assert source.stop() == 0, source.output()
    assert target.stop() == 0, target.output()
