"""The image's steps and the compose file, as far as they go without a container engine.

The image is not built here. What its build and its start do is: what it copies makes a wheel that installs into
an empty environment, and that environment's command runs as the image's user on a read-only root.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import resources
from pathlib import Path

import jsonschema
import pytest
import yaml
from support.unit import ROOT, Sandbox, install

from shipper.config import load

DOCKERFILE = ROOT / "deploy" / "container" / "Dockerfile"
COMPOSE = ROOT / "deploy" / "compose"


def instructions() -> list[tuple[str, str]]:
    """(instruction, arguments) in order; continued lines joined, comments left out."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    found = [line.split(maxsplit=1) for line in text.splitlines() if line.strip()]
    return [(name, " ".join(arguments.split())) for name, arguments in found]


def arguments(name: str) -> list[str]:
    return [given for instruction, given in instructions() if instruction == name]


def test_the_bases_are_pinned_and_the_user_is_a_number_that_is_not_root() -> None:
    assert all(re.fullmatch(r"python:3\.\d+-slim-[a-z]+( AS build)?", base) for base in arguments("FROM"))
    assert arguments("USER") == ["10001:10001"]
    assert arguments("STOPSIGNAL") == ["SIGTERM"]
    assert arguments("ENTRYPOINT") == ['["shipper"]']


def test_the_tag_that_is_written_down_is_this_release() -> None:
    version = re.search(r'"([^"]+)"', (ROOT / "shipper" / "version.py").read_text().partition("VERSION")[2])
    assert version is not None
    chart = yaml.safe_load((ROOT / "deploy" / "kubernetes" / "chart" / "Chart.yaml").read_text())
    assert chart["appVersion"] == version[1]
    for path in (DOCKERFILE, COMPOSE / "compose.yaml", COMPOSE / "kafka.yaml"):
        assert set(re.findall(r"shipper:(\d[\w.]*)", path.read_text())) == {version[1]}


def test_what_the_build_copies_makes_a_wheel_with_everything_in_it(tmp_path: Path) -> None:
    """The COPY lines of the build, and no other file of the clone."""
    for line in arguments("COPY"):
        if line.startswith("--from"):
            continue
        *names, target = line.split()
        for name in names:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, tmp_path / "source" / target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                (tmp_path / "source").mkdir(exist_ok=True)
                shutil.copy(ROOT / name, tmp_path / "source" / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", tmp_path, tmp_path / "source"], check=True)
    [wheel] = tmp_path.glob("edge_shipper-*.whl")
    installed = tmp_path / "installed"
    subprocess.run([*pip, "install", "--no-deps", "--target", installed, wheel], check=True)
    code = "import shipper, shipper_processors, sys; sys.exit(shipper.__file__.startswith(sys.argv[1]) is False)"
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    subprocess.run([sys.executable, "-c", code, installed], check=True, cwd=tmp_path, env=environment)


def test_what_the_build_copies_is_let_through_by_the_ignore_file() -> None:
    ignored = DOCKERFILE.with_name("Dockerfile.dockerignore").read_text().splitlines()
    copied = {name for line in arguments("COPY") if not line.startswith("--") for name in line.split()[:-1]}
    assert "*" in ignored
    assert {line[1:] for line in ignored if line.startswith("!")} == copied


def test_the_entry_point_runs_as_the_images_user_on_a_read_only_root(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    uid, gid = map(int, arguments("USER")[0].split(":"))
    sandbox = Sandbox(tmp_path / "root", install(tmp_path))
    spool = tmp_path / "spool"
    (tmp_path / "lib" / "shipper").mkdir(parents=True)
    spool.mkdir()
    if os.geteuid() == 0:
        os.chown(spool, uid, gid)
    sandbox.binds += [(tmp_path / "lib", "/var/lib", False), (spool, "/var/lib/shipper", True)]
    (sandbox.etc / "shipper").mkdir()
    config = "sources: {i: {type: stdin}}\nsinks: {o: {type: stdout, identity: false, read_at: false}}\n"
    (sandbox.etc / "shipper" / "c.yaml").write_text(config)
    environment = {"STATE_DIRECTORY": "/var/lib/shipper", "PYTHONDONTWRITEBYTECODE": "1"}
    for arguments_, given, answer in (
        (["--version"], b"", b"shipper "),
        (["run", "--once", "/etc/shipper"], b"hello\n", b'"message":"hello"'),
    ):
        command = sandbox.command(["/opt/shipper/bin/shipper", *arguments_], (uid, gid, []), environment, [])
        done = subprocess.run(command, input=given, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr
        assert answer in done.stdout


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False)])
def test_the_health_check_believes_readyz(status: int, healthy: bool) -> None:
    asked: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        [check] = arguments("HEALTHCHECK")
        command = json.loads(check.partition("CMD ")[2])
        command = [part.replace(":7421", f":{server.server_port}") for part in command]
        done = subprocess.run([sys.executable, *command[1:]], capture_output=True, check=False)
        thread.join()
    assert (done.returncode == 0, asked) == (healthy, ["/readyz"])


@pytest.mark.parametrize(
    ("file", "others"), [("compose.yaml", set()), ("kafka.yaml", {"kafka"})], ids=["collector", "kafka"]
)
def test_the_compose_file_is_one(file: str, others: set[str]) -> None:
    schema = resources.files("check_jsonschema").joinpath("builtin_schemas/vendor/compose-spec.json").read_text()
    compose = yaml.safe_load((COMPOSE / file).read_text())
    jsonschema.validate(compose, json.loads(schema))
    assert compose["services"].keys() == {"agent", "collector"} | others
    for name in ("agent", "collector"):
        service = compose["services"][name]
        mounted = {volume.split(":")[1]: volume.split(":")[0] for volume in service["volumes"]}
        config = load([COMPOSE / mounted[service["command"][1]]])
        assert config.admin is not None
        assert config.admin.listen in DOCKERFILE.read_text()
        assert service["build"]["dockerfile"] == str(DOCKERFILE.relative_to(ROOT))
        assert (COMPOSE / service["build"]["context"]).resolve() == ROOT
