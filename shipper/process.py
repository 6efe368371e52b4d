"""What the system says of this process, under the names that Prometheus' client libraries use (Linux: /proc)."""

import os
import resource
import time
from pathlib import Path
from typing import Final

from shipper.metrics import Registry

_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_SELF: Final = Path("/proc/self")


def follow_process(metrics: Registry) -> None:
    """Let the registry ask the system.

    The time of the start is taken once: it stays what it is when somebody sets the clock, and changes with a restart.
    """
    metrics.counter_function("process_cpu_seconds_total", time.process_time)
    metrics.gauge_function("process_resident_memory_bytes", resident)
    metrics.gauge_function("process_virtual_memory_bytes", lambda: _pages(0))
    metrics.gauge_function("process_open_fds", lambda: len(os.listdir(_SELF / "fd")) - 1)  # less the one that lists
    metrics.gauge_function("process_max_fds", lambda: resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    metrics.gauge("process_start_time_seconds").set(_started())


def resident() -> int:
    """The process's memory that is in RAM, in bytes."""
    return _pages(1)


def _pages(field: int) -> int:
    return int((_SELF / "statm").read_bytes().split()[field]) * _PAGE


def _started() -> float:
    after_name = (_SELF / "stat").read_bytes().rpartition(b") ")[2].split()
    booted = next(line for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime "))
    return int(booted.split()[1]) + int(after_name[19]) / _TICKS
