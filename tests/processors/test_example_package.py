"""A third party's package: installed by pip, found by its entry point, tested by its own tests."""

import re
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest
from support.python_path import environment

import shipper_processors
from shipper.testing import run_batch, start_chain

EXAMPLE = Path(shipper_processors.__path__[0]).parent / "examples" / "shipper-mask"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package installed into it; a copy is built, so that nothing is left beside the source."""
    folder = tmp_path_factory.mktemp("example")
    source, target = folder / "source", folder / "site"
    source.mkdir()
    for name in ("pyproject.toml", "shipper_mask.py"):
        (source / name).write_bytes((EXAMPLE / name).read_bytes())
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, "--target", target, source], check=True)
    return target


def test_its_entry_point_names_a_processor(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(site)
    (found,) = (d for d in distributions(path=[str(site)]) if d.metadata["Name"] == "shipper-mask")
    (entry_point,) = found.entry_points.select(group="shipper.processors", name="mask")
    mask = entry_point.load()(pattern=re.compile("secret"))
    assert run_batch(start_chain([mask]), ["a secret"]).records == [{"message": "a ***"}]


def test_its_own_tests_pass(site: Path, tmp_path: Path) -> None:
    for name in ("test_mask.py",):
        (tmp_path / name).write_bytes((EXAMPLE / name).read_bytes())
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, env=environment(site), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout


def test_a_config_finds_it_by_its_name(site: Path, tmp_path: Path) -> None:
    config = tmp_path / "agent.yaml"
    config.write_text(
        f"data_dir: {tmp_path}/data\n"
        f"sources: {{app: {{type: file, include: [{tmp_path}/*.log]}}}}\n"
        "processors:\n  - mask: {pattern: '[0-9]{16}'}\n"
        "sinks: {out: {type: stdout}}\n"
    )
    (tmp_path / "a.log").write_text("paid with 4000123412341234\n")
    command = [sys.executable, "-m", "shipper", "run", "--once", str(config)]
    done = subprocess.run(command, env=environment(site), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert '"message":"paid with ***"' in done.stdout
