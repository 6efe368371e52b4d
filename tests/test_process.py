"""The process as the system sees it, against other ways to ask."""

import os
import resource
import time
from pathlib import Path

import pytest

from shipper.metrics import Registry
from shipper.process import follow_process


@pytest.fixture
def registry() -> Registry:
    registry = Registry()
    follow_process(registry)
    return registry


def test_memory_is_what_the_kernel_says(registry: Registry) -> None:
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    rss = int(fields["VmRSS"].split()[0]) * 1024
    assert registry.value("process_resident_memory_bytes") == pytest.approx(rss, rel=0.2)
    assert registry.value("process_virtual_memory_bytes") >= registry.value("process_resident_memory_bytes")


def test_an_open_file_is_one_descriptor_more(registry: Registry) -> None:
    before = registry.value("process_open_fds")
    with Path(os.devnull).open("rb"):
        assert registry.value("process_open_fds") == before + 1
    assert registry.value("process_max_fds") == resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def test_cpu_time_grows_with_work(registry: Registry) -> None:
    before = registry.value("process_cpu_seconds_total")
    while registry.value("process_cpu_seconds_total") < before + 0.02:
        sum(range(10000))


def test_the_process_started_in_the_past_and_once(registry: Registry) -> None:
    started = registry.value("process_start_time_seconds")
    assert 0 < started <= time.time() + 1
    assert registry.value("process_start_time_seconds") == started
