"""Whatever stands in a config file: it loads, or ConfigError says why."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.configs import PARTS

from shipper.config import load
from shipper.config.document import parse
from shipper.config.problems import Problems
from shipper.errors import ConfigError

KEYS = st.sampled_from(
    "type sources sinks labels processors where spool max_bytes batch s out text number names table inner ca listen "
    "pattern anything pair unique several flexible wait size << * ./parts.py:Probe ./parts.py:Out drop".split()
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=8),
    KEYS,
    st.sampled_from(
        ["${X}", "${", "$$", "1GiB", "5s", "9" * 400 + "d", "9" * 400 + "TiB", "1e999", "(", "~root", "[["]
    ),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS | st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)
SETTINGS = st.sampled_from(
    "text number ratio switch size wait place pattern mode color names numbers unique pair table anything inner "
    "several auto flexible bounded labels listen processors".split()
)
PROBES = st.dictionaries(SETTINGS, VALUES, max_size=4).map(lambda given: {"type": "./parts.py:Probe"} | given)
OUTS = st.fixed_dictionaries(
    {"type": st.just("./parts.py:Out")}, optional={"where": SCALARS, "backoff": VALUES, "breaker": VALUES}
)
CONFIGS = st.fixed_dictionaries(
    {
        "sources": st.dictionaries(st.sampled_from(["a", "b"]), PROBES | VALUES, max_size=2) | VALUES,
        "sinks": st.dictionaries(st.sampled_from(["a", "b"]), OUTS | VALUES, max_size=2) | VALUES,
    },
    optional={"labels": VALUES, "processors": VALUES, "spool": VALUES, "batch": VALUES, "admin": VALUES},
)
YAMLISH = st.text(st.sampled_from("ab:-[]{}\"'|>&*!%@`#?,$ \n\t\\<.0~"), max_size=40)

quick = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "parts.py").write_text(PARTS)
    return tmp_path / "c.yaml"


def try_to_load(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    problems = []
    try:
        load([path])
    except ConfigError as error:
        problems = error.problems
    assert all(problem.startswith(f"{path}:") and problem.isprintable() for problem in problems)


@quick
@given(YAMLISH)
def test_text_that_looks_like_yaml_is_parsed_or_complained_about(text: str) -> None:
    problems = Problems()
    node = parse(text, "c.yaml", problems)
    if node is None:
        with pytest.raises(ConfigError):
            problems.raise_if_any()


@quick
@given(data=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_any_bytes_are_loaded_or_complained_about(path: Path, data: bytes) -> None:
    try_to_load(path, data)


@quick
@given(value=VALUES)
def test_any_structure_is_loaded_or_complained_about(path: Path, value: Any) -> None:
    try_to_load(path, json.dumps(value).encode())


@quick
@given(value=CONFIGS)
def test_anything_in_the_place_of_a_setting_is_loaded_or_complained_about(path: Path, value: Any) -> None:
    try_to_load(path, json.dumps(value).encode())
