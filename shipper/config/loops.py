"""Sources that read what shipper itself writes: each record would come back and be written again, without end."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from shipper.config.model import Config
from shipper.sinks.base import Sink
from shipper.sources.base import Source

_SEGMENT: Final = Path("spool", "00000000000000000001.seg")


def loops(config: Config) -> Iterator[tuple[str, str]]:
    """A source's name, and what is wrong with what it reads, for each that reads a sink's file or the data directory.

    In a path with labels those that the config knows are filled in, so ``{source}`` is no guess. Labels that come from
    other shippers or from processors can lead to further paths, which are not looked at.
    """
    for name, source in config.sources.items():
        if source.reads(str(config.data_dir / _SEGMENT)):
            yield name, f"reads shipper's own data_dir, {config.data_dir}: exclude that"
        for sink_name, sink in config.sinks.items():
            path = _common(config, source, sink)
            if path is not None:
                text = f"reads what sinks.{sink_name} writes, {path}: each record would come back and be written again"
                yield name, f"{text}, without end; exclude that, or write elsewhere"


def _common(config: Config, reader: Source, sink: Sink) -> str | None:
    """A path that records of any source are written to, and that this source reads; None: there seems to be none."""
    for name in config.sources:
        path = sink.writes(config.labels_of(name))
        if path is not None and reader.reads(path):
            return path
    return None
