"""What a config holds once it is read: typed structs. The strings under the attributes are the reference's text."""

import re
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import msgspec

from shipper.sinks.base import Sink
from shipper.sources.base import Source
from shipper.units import ByteSize, Duration, Share

_KIB = 1024
_MIB = 1024 * _KIB


class _Block(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A block of settings."""


class SpoolConfig(_Block):
    """The disk-backed queue between sources and sinks."""

    max_bytes: ByteSize = ByteSize(1024 * _MIB)
    """At most so many bytes on disk. When they are used up the sources stop reading: the files are the buffer."""
    min_free: Share = Share("5%")
    """Room on the disk that is left to others: a percentage of it, or a size. With less than that, the sources stop
    reading until there is more again."""

    def __post_init__(self) -> None:
        if self.max_bytes < 2 * _MIB:
            raise ValueError(f"max_bytes is {self.max_bytes}, expected at least 2MiB")


class BatchConfig(_Block):
    """How many records travel together."""

    max_bytes: ByteSize = ByteSize(256 * _KIB)
    """A batch holds at most so many bytes as read."""
    max_delay: Duration = Duration(0.1)
    """The first line after a quiet spell goes at once; then there is at most one batch per so much time until
    ``max_bytes`` are there."""

    def __post_init__(self) -> None:
        if not 4 * _KIB <= self.max_bytes <= 1024 * _KIB:
            raise ValueError(f"max_bytes is {self.max_bytes}, expected 4KiB to 1MiB")
        if self.max_delay > 60:
            raise ValueError(f"max_delay is {self.max_delay}, expected at most 60s")


class DeadLettersConfig(_Block):
    """Records that could not be processed or that a sink refused are kept with the reason; ``shipper dlq`` shows and
    replays them.
    """

    max_bytes: ByteSize = ByteSize(256 * _MIB)
    """At most so many bytes; when they are used up records go on with the error in a field instead."""


class AdminConfig(_Block):
    """A read-only HTTP port: ``/metrics``, ``/healthz``, ``/readyz``, ``/status``."""

    listen: str
    """The address to listen on, as in ``127.0.0.1:7421``; port 0 takes a free one."""

    def __post_init__(self) -> None:
        if not re.fullmatch(r".*:[0-9]{1,5}", self.listen):
            raise ValueError(f"listen is {self.listen!r}, expected host:port, as in 127.0.0.1:7421")


class ProcessorSpec(NamedTuple):
    """One processor of a chain."""

    type: str
    """The type as the config names it."""
    name: str
    """Unique in the config: ``parse_json``, the second one ``parse_json_2``."""
    processor: Any
    """The instance, a ``shipper.Processor``."""
    place: str
    """``file:line`` of its definition."""

    def fresh(self) -> "ProcessorSpec":
        """The same processor as an instance of its own: a shared one runs in the chain of every source, and calls of
        one instance never overlap.
        """
        values = {name: getattr(self.processor, name) for name in self.processor.__struct_fields__}
        return self._replace(processor=type(self.processor)(**values))


class Config(_Block):
    """Everything that one process does."""

    name: str
    """The stem of the (first) config file or directory."""
    data_dir: Path
    """Where the spool and the positions live, one directory a process. Default: ``$STATE_DIRECTORY`` (systemd sets
    it), else ``~/.local/state/shipper/NAME`` with the name of the config file."""
    labels: dict[str, Any]
    """Labels on every record. ``host`` is always there; without a value of its own it is the name of the machine."""
    sources: dict[str, Source]
    """Where records come from, by a name of one's choice. A source has its ``type``, the settings of that type, and
    its own ``labels`` and ``processors``."""
    processors: list[ProcessorSpec]
    """What changes the records of every source, in this order, after the source's own processors. An item is
    a processor's name, or one with its settings: ``- drop: {where: "level == 'debug'"}``."""
    sinks: dict[str, Sink]
    """Where records go, by a name of one's choice: every record to every sink whose ``where`` it meets. A sink has
    its ``type`` and the settings of that type."""
    spool: SpoolConfig = msgspec.field(default_factory=SpoolConfig)
    batch: BatchConfig = msgspec.field(default_factory=BatchConfig)
    dead_letters: DeadLettersConfig = msgspec.field(default_factory=DeadLettersConfig)
    admin: AdminConfig | None = None
    workers: Annotated[int, msgspec.Meta(ge=0, le=64)] = 0
    """Run the processors in so many processes, for more than one core has to give; 0: in this one. The records of each
    source keep their order."""
    shutdown_timeout: Duration = Duration(30)
    """After SIGTERM the process takes at most so long to ship what it has read; the rest goes after the next start."""
    warnings: list[str] = []
    """What is allowed but should be looked at, one line each, with its place."""

    def chain_of(self, source: str) -> list[ProcessorSpec]:
        """The processors of a source: its own, then those of every source."""
        return [*self.sources[source].processors, *self.processors]

    def labels_of(self, source: str) -> dict[str, Any]:
        """The labels of every record of a source."""
        return {**self.labels, "source": source, **self.sources[source].labels}


BUILT = frozenset({"labels", "sources", "processors", "sinks"})
"""Attributes of ``Config`` whose form in files is another than their type here says."""
NOT_IN_FILES = frozenset({"name", "warnings"})
"""Attributes of ``Config`` that no file can set."""
