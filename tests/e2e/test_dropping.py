"""Two real sinks, one of them dead: with ``drop_oldest`` it costs the other nothing."""

import os
from pathlib import Path

from support.processes import free_port, records, wait_for
from support.scraped import metric, settled

from .test_ways import agent, collector


def test_a_dead_sink_loses_its_oldest_records_counted_exactly_and_the_other_gets_every_one(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "a.log"
    log.parent.mkdir(exist_ok=True)
    lines = [f"{n} {os.urandom(400).hex()}" for n in range(12_000)]
    log.write_text("\n".join(lines) + "\n")
    port, admin = free_port(), free_port()
    source = agent(
        tmp_path,
        f"{{dead: {{type: grpc, addresses: ['127.0.0.1:{port}'], when_full: drop_oldest, backoff: {{max: 500ms}}}}, "
        f"live: {{type: file, path: '{tmp_path}/live.ndjson'}}}}",
        f"spool: {{max_bytes: 2MiB}}\nadmin: {{listen: '127.0.0.1:{admin}'}}\n",
    )
    source.start()
    live, out = tmp_path / "live.ndjson", tmp_path / "out.ndjson"
    wait_for(lambda: live.exists() and live.read_bytes().count(b"\n") == len(lines), "all lines at the live sink")
    labels = '{sink="dead",reason="drop_oldest"}'
    dropped = settled(admin, f"shipper_sink_dropped_records_total{labels}")
    assert 0 < dropped < len(lines)
    assert metric(admin, f"shipper_sink_dropped_frames_total{labels}") > 0
    target = collector(tmp_path, port, f"{{archive: {{type: file, path: '{out}'}}}}")
    target.start()
    wait_for(lambda: out.exists() and out.read_bytes().count(b"\n") >= len(lines) - dropped, "what is left")
    assert [r["message"] for r in records(live)] == lines
    assert [r["message"] for r in records(out)] == lines[int(dropped) :]
    assert metric(admin, f"shipper_sink_dropped_records_total{labels}") == dropped
    assert "oldest records are dropped" in source.output()
    assert source.stop() == 0, source.output()
    assert target.stop() == 0, target.output()
