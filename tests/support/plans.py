"""A plan beside what the config means: the same steps over decoded records, one after the other."""

import json
from typing import Any, NamedTuple

from shipper.batch import Batch, Format, Payload
from shipper.chain.decode import decode_json_lines, records_of
from shipper.chain.run import Chain
from shipper.processor import Processor
from shipper.spool.frame import Frame


class Spec(NamedTuple):
    """A processor of a config."""

    name: str
    processor: Processor


def started(processors: list[Processor], room: int, *, planned: bool) -> Chain:
    specs = [Spec(f"p{number}", processor) for number, processor in enumerate(processors)]
    return Chain(specs, "app", lambda: room, planned=planned)


def copied(batch: Batch) -> Batch:
    """A batch to process: chains change records in place."""
    payload: Any = json.loads(json.dumps(batch.payload)) if isinstance(batch.payload, list) else batch.payload
    return Batch(batch.source, dict(batch.labels), payload, batch.ranges, batch.read_at, upstream=batch.upstream)


def seen(batch: Batch, given_batch: Batch) -> dict[str, Any]:
    """What a sink, the ledger and the spool see of a result."""
    payload = batch.payload
    records = records_of(payload)
    if isinstance(payload, Frame):  # nothing was changed: it goes on as it came
        _, seq, numbers = payload.identities()
        stream, indices, subs = payload.stream, list(numbers), payload.meta.subs
        counts: list[tuple[Any, ...]] = [(payload.records, payload.records, {}, 0)]
    else:
        stream, seq = (batch.origin.stream, batch.origin.seq) if batch.origin else (b"", 0)
        indices, subs = batch.indices or list(range(len(records))), batch.subs
        counts = [(span.read, span.kept, span.dropped, span.failed) for span in batch.ranges]
    return {
        # text tells 1 from 1.0 and from true
        "records": [json.dumps(record, sort_keys=True) for record in records],
        "labels": batch.labels,
        "counts": counts,
        "identities": [(stream, seq, index) for index in indices],
        "subs": subs or [0] * len(records),
        "letters": sorted(batch.dead_letters, key=lambda letter: (letter.index, letter.processor, letter.raw)),
        "state": batch.state,
        "upstream": batch.upstream,
        "source": (batch.source, batch.read_at),
    }


def _kept_bytes(naive: Chain, batch: Batch, result: Batch) -> bool:
    """Nothing in the chain may change a record: what is left is as it came. Lines that should be JSON objects and are
    none may be mended on the way.
    """
    if isinstance(batch.payload, list) or any(step.changes for step in naive.steps):
        return False
    kind, lines = _bytes(result)
    return kind is not Format.NDJSON or not any(isinstance(record, ValueError) for record in decode_json_lines(lines))


def _bytes(batch: Batch) -> tuple[Format, list[bytes]]:
    """The lines of a result, and what kind they are of."""
    payload = batch.payload.payload() if isinstance(batch.payload, Frame) else batch.payload
    assert isinstance(payload, Payload)
    return payload.format, payload.raw()


def compare(processors: list[Processor], given_batches: list[Batch], room: int = 1 << 30) -> Chain:
    """Both ways, one batch after the other; the chain with the plan."""
    naive, planned = (started(processors, room, planned=planned) for planned in (False, True))
    for batch in given_batches:
        expected, found = naive.run(copied(batch)), planned.run(copied(batch))
        assert seen(found, batch) == seen(expected, batch)
        errors = [dict(chain.take_errors()) for chain in (naive, planned)]
        assert all(errors[0].get(name, 0) >= count for name, count in errors[1].items())
        if not errors[0] and _kept_bytes(naive, batch, expected):
            assert _bytes(found) == _bytes(expected)
        kept_raw = isinstance(found.payload, Payload) and found.payload.format is not Format.NDJSON
        assert planned.invalid_utf8 == naive.invalid_utf8 or kept_raw or isinstance(found.payload, Frame)
        naive.invalid_utf8 = planned.invalid_utf8 = 0
        if isinstance(batch.payload, Payload) and batch.payload.format is not Format.NDJSON and not kept_raw:
            assert isinstance(found.payload, Payload)
            found.payload.data.decode()  # whatever came, what is written is UTF-8
    return planned
