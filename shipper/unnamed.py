"""Which processor is it, where a plan comes to something else than the processors one after the other? For people.

The planner trusts what processors say of themselves. So mostly it is one that reads or changes what it does not name.
"""

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any, TypeAlias

from shipper.batch import Batch, Record
from shipper.chain.trust import came_of, named_fields, unnamed_reads
from shipper.config import Config
from shipper.trace import Tracer, chosen_source

_Inputs: TypeAlias = Sequence[bytes | Record]


def culprit(config: Config, source: str | None, inputs: _Inputs, labels: Mapping[str, Any]) -> str:
    """What to say of it."""
    for at in range(len(config.chain_of(chosen_source(config, source)))):
        results = []
        for planned in (False, False, True):
            tracer = Tracer(config, source, planned=planned, part=slice(at + 1))
            called = tracer.chain.steps[-1].called
            with closing(tracer):
                results.append([came_of(tracer.run(item, labels)) for item in inputs])
        if results[0] != results[1]:
            break  # it is something else each time: nothing can be said of those behind it
        if results[0] != results[2]:
            names = _read(config, source, at, inputs, labels)
            if names:
                return f"{called} reads {' or '.join(names)}, which its `reads` does not name"
            return f"{called} may read or change a field that its `reads` and `writes` do not name"
    return "some processor may read or change a field that its `reads` and `writes` do not name"


def _read(config: Config, source: str | None, at: int, inputs: _Inputs, labels: Mapping[str, Any]) -> list[str]:
    """What the processor in this place reads and does not name."""
    named = named_fields(config.chain_of(chosen_source(config, source))[at].fresh().processor)
    if named is None:
        return []
    with closing(Tracer(config, source)) as tracer:
        records = [record for item in inputs for record in tracer.trace(item, labels).stages[at].before]

    def run(some: Sequence[Record]) -> Batch:
        with closing(Tracer(config, source, part=slice(at, at + 1))) as alone:
            return alone.run_all(some, labels)

    return unnamed_reads(run, records, named)
