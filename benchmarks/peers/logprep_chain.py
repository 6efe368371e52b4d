"""Logprep's processors in the leanest loop: run by Logprep's own Python, with CONFIG, LOG and OUTPUT.

Lines are read and records written as a program would that has nothing else to do, so what it takes is what the
processors of the config take. It ends when it is asked to, as the other peers do.
"""

import json
import signal
import sys
from pathlib import Path

import msgspec
from logprep.factory import Factory  # type: ignore[import-not-found]  # not installed in our environment
from logprep.framework.pipeline import PipelineResult  # type: ignore[import-not-found]


def main(config: str, log: str, output: str) -> None:
    """Every line as an event through the pipeline, as Logprep's own loop has it; what is left of it is written."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
    pipeline = [Factory.create(entry) for entry in json.loads(Path(config).read_text())["pipeline"]]
    for processor in pipeline:
        processor.setup()
    encode = msgspec.json.Encoder().encode
    with Path(log).open(encoding="utf-8") as lines, Path(output).open("wb") as out:
        for line in lines:
            event = {"message": line.rstrip("\n")}
            errors = PipelineResult(event=event, pipeline=pipeline).errors
            if event and not errors:
                out.write(encode(event) + b"\n")
    signal.sigwait({signal.SIGTERM})


if __name__ == "__main__":
    main(*sys.argv[1:])
