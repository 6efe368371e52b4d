"""The JSON Schema says of a config what the loader says of it."""

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from shipper.config import load
from shipper.config.schema import schema
from shipper.errors import ConfigError

HEAD = "sources: {in: {type: grpc, listen: 127.0.0.1:0}}\nsinks: {out: {type: blackhole}}\n"


@pytest.fixture(scope="module")
def validator() -> Any:
    whole = schema()
    jsonschema.Draft202012Validator.check_schema(whole)
    return jsonschema.Draft202012Validator(whole)


@pytest.mark.parametrize(
    "text",
    [
        HEAD,
        HEAD + "labels: {env: prod, rack: 7}\nspool: {max_bytes: 64MiB}\nbatch: {max_bytes: 65536, max_delay: 1.5s}\n",
        HEAD + "shutdown_timeout: 0\nspool:\ndata_dir: 7\nprocessors:\n",
        HEAD + "shutdown_timeout: ${UNSET:-5s}\nadmin: {listen: '127.0.0.1:0'}\n",
        HEAD.replace("blackhole}", "blackhole, backoff: {min: 1s}, breaker: {window: 5, failure_ratio: 0.1}}"),
    ],
)
def test_what_loads_is_valid(validator: Any, tmp_path: Path, text: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    load([tmp_path / "c.yaml"])
    validator.validate(yaml.safe_load(text))


@pytest.mark.parametrize(
    "text",
    [
        HEAD + "spol: {}\n",
        HEAD + "spool: {max_bytes: 1G}\n",
        HEAD + "spool: {max: 1GiB}\n",
        HEAD + "shutdown_timeout: 5\n",
        HEAD + "processors: {drop: {}}\n",
        HEAD + "admin: {}\n",
        HEAD.replace("listen", "lissen"),
        HEAD.replace("{type: blackhole}", "{}"),
        HEAD.replace("{type: blackhole}", "{type: blackhole, paht: x}"),
        HEAD.replace("blackhole}", "blackhole, breaker: {window: many}}"),
    ],
)
def test_what_does_not_load_is_invalid(validator: Any, tmp_path: Path, text: str) -> None:
    (tmp_path / "c.yaml").write_text(text)
    with pytest.raises(ConfigError):
        load([tmp_path / "c.yaml"])
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(yaml.safe_load(text))


def test_a_type_of_one_s_own_is_let_through(validator: Any) -> None:
    mine = {"type": "./mine.py:Mine", "anything": 3}
    validator.validate({"sources": {"a": mine}, "sinks": {"b": mine}, "processors": [{"./mine.py:P": {"x": 1}}, "x"]})


def test_every_setting_has_a_description() -> None:
    properties = schema()["properties"]
    assert all(properties[name]["description"] for name in properties)
