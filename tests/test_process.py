"""The process as the system sees it, against other ways to ask."""

import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shipper.metrics import Registry
from shipper.process import follow_process

DESCRIPTORS = """
import os
from shipper.metrics import Registry
from shipper.process import follow_process
registry = Registry()
follow_process(registry)
before = registry.value("process_open_fds")
with open(os.devnull, "rb"):
    print(before, registry.value("process_open_fds"))
"""


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


def test_an_open_file_is_one_descriptor_more() -> None:
    """In a process of its own: what other tests left here may be closed at any moment."""
    done = subprocess.run([sys.executable, "-c", DESCRIPTORS], capture_output=True, text=True, check=True)
    before, after = map(float, done.stdout.split())
    assert after == before + 1


def test_the_most_descriptors_are_those_of_the_limit(registry: Registry) -> None:
    assert registry.value("process_max_fds") == resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def test_cpu_time_grows_with_work(registry: Registry) -> None:
    before = registry.value("process_cpu_seconds_total")
    while registry.value("process_cpu_seconds_total") < before + 0.02:
        sum(range(10000))


def test_the_process_started_in_the_past_and_once(registry: Registry) -> None:
    started = registry.value("process_start_time_seconds")
    assert 0 < started <= time.time() + 1
    assert registry.value("process_start_time_seconds") == started
