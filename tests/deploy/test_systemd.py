"""The units are well-formed and closed tight, and their commands do their work under the unit's user and limits."""

import errno
import grp
import os
import re
import resource
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.journal import Journal
from support.processes import free_port, wait_for
from support.service_manager import ServiceManager as Systemd
from support.unit import ROOT, Sandbox, Unit, install, limit_memory
from support.whole import whole_records

from shipper.config import load

FOLDER = ROOT / "deploy" / "systemd"
UNITS = ["agent", "collector"]


@pytest.fixture(scope="module")
def opt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(tmp_path_factory.mktemp("install"))


@pytest.mark.parametrize("name", UNITS)
def test_systemd_understands_every_line(name: str, tmp_path: Path) -> None:
    """But for the command: /opt/shipper is not there on the machine that tests."""
    unit = tmp_path / f"shipper-{name}.service"
    unit.write_text((FOLDER / unit.name).read_text().replace("/opt/shipper/bin/shipper", "/bin/true"))
    checked = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


@pytest.mark.parametrize("name", UNITS)
def test_systemd_finds_little_that_the_process_could_do(name: str) -> None:
    """2.0 and less is systemd's "OK"; what is left is the network, which it is there for."""
    unit = FOLDER / f"shipper-{name}.service"
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=20", str(unit)]
    judged = subprocess.run(command, capture_output=True, text=True, check=False)
    assert judged.returncode == 0, judged.stdout


@pytest.mark.parametrize("name", UNITS)
def test_a_drain_fits_into_the_time_that_a_stop_has(name: str) -> None:
    unit, config = Unit(FOLDER / f"shipper-{name}.service"), load([FOLDER / f"{name}.yaml"])
    assert unit.seconds("TimeoutStopSec") > config.shutdown_timeout


class Service:
    """A unit's command, running as systemd would run it."""

    def __init__(self, folder: Path, opt: Path, name: str, user: tuple[int, int]) -> None:
        self.unit = Unit(FOLDER / f"shipper-{name}.service")
        self.sandbox = Sandbox(folder, opt)
        self.systemd = Systemd(self.sandbox.run / "notify")
        (self.sandbox.run / "notify").chmod(0o666)
        (self.sandbox.etc / "shipper").mkdir()
        self.config = self.sandbox.etc / "shipper" / f"{name}.yaml"
        shutil.copy(FOLDER / self.config.name, self.config)
        self.log = folder / "log"
        self.environment = {
            "NOTIFY_SOCKET": "/run/notify",
            "WATCHDOG_USEC": str(self.unit.seconds("WatchdogSec") * 1_000_000),
        }
        self._group: Path | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self._user = (*user, [grp.getgrnam(name).gr_gid for name in self.unit.values.get("SupplementaryGroups", [])])

    def start(self, *prefix: str) -> None:
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]  # a container may allow fewer than the unit
        files = self.unit["LimitNOFILE"] if most == resource.RLIM_INFINITY else min(most, int(self.unit["LimitNOFILE"]))
        limits = [f"--nofile={files}", f"--core={self.unit['LimitCORE']}"]
        arguments = [*prefix, *self.unit["ExecStart"].split()]
        command = self.sandbox.command(arguments, self._user, self.environment, limits)
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log)
        self._group = limit_memory(self.process, self.sandbox.folder.name, self.unit.size("MemoryMax"))

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def wait(self) -> int:
        """The exit code; a stop must not take longer than the unit gives it."""
        assert self.process is not None
        return self.process.wait(self.unit.seconds("TimeoutStopSec"))

    def _is_empty(self) -> bool:
        """Remove the group; whether nobody was in it: what the process had started may end a little later than it."""
        assert self._group is not None
        try:
            self._group.rmdir()
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            return False
        return True

    def close(self) -> None:
        self.systemd.close()
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        if self._group is not None:
            wait_for(self._is_empty, "the processes of the unit to be gone")


def users(folder: Path) -> dict[str, tuple[int, int]]:
    """The users as systemd-sysusers makes them: (uid, gid) by name."""
    root = folder / "root"
    (root / "etc").mkdir(parents=True)
    subprocess.run(["systemd-sysusers", f"--root={root}", FOLDER / "sysusers.conf"], check=True, capture_output=True)
    lines = (line.split(":") for line in (root / "etc" / "passwd").read_text().splitlines())
    return {line[0]: (int(line[2]), int(line[3])) for line in lines}


@pytest.fixture
def services(tmp_path: Path, opt: Path) -> Iterator[tuple[Service, Service]]:
    """Agent and collector, not started; the agent sees ``tmp_path/log`` as /var/log."""
    tmp_path.chmod(0o755)
    made = users(tmp_path)
    (tmp_path / "log").mkdir()
    output = tmp_path / "output"
    (tmp_path / "log" / "shipper-collector").mkdir()
    lib = tmp_path / "lib"
    both = []
    for name in UNITS:
        (lib / name / f"shipper-{name}").mkdir(parents=True)
        service = Service(tmp_path / name, opt, name, made[f"shipper-{name}"])
        unit, sandbox = service.unit, service.sandbox
        sandbox.binds += [(lib / name, "/var/lib", False), (tmp_path / "log", "/var/log", False)]
        states = {f"lib/{unit['StateDirectory']}": tmp_path / f"{name}-state"}
        if "LogsDirectory" in unit.values:
            states[f"log/{unit['LogsDirectory']}"] = output
            service.environment["LOGS_DIRECTORY"] = f"/var/log/{unit['LogsDirectory']}"
        service.environment["STATE_DIRECTORY"] = f"/var/lib/{unit['StateDirectory']}"
        for place, path in states.items():
            path.mkdir()
            if os.geteuid() == 0:
                os.chown(path, *made[unit["User"]])
            sandbox.binds.append((path, f"/var/{place}", True))
        both.append(service)
    agent, collector = both
    ports = {number: str(free_port()) for number in ("7420", "7421", "7422")}
    for service in both:
        text = service.config.read_text()
        service.config.write_text(re.sub("|".join(ports), lambda found: ports[found[0]], text))
    yield agent, collector
    for service in both:
        service.close()


def test_agent_and_collector_ship_under_their_users_and_limits(
    tmp_path: Path, services: tuple[Service, Service]
) -> None:
    """A file of root's that adm may read goes the whole way; both say READY=1, feed the watchdog and stop cleanly."""
    agent, collector = services
    log = tmp_path / "log" / "daemon.log"
    log.write_text("one\ntwo\n")
    log.chmod(0o640)
    secret = tmp_path / "log" / "secret.log"
    secret.write_text("not for adm\n")
    secret.chmod(0o600)
    if os.geteuid() == 0:
        shutil.chown(log, "root", "adm")
    collector.start()
    collector.systemd.wait_for(lambda line: line == "READY=1", "READY=1")
    agent.start()
    agent.systemd.wait_for(lambda line: line == "READY=1", "READY=1")

    def arrived() -> set[object]:
        return {one["message"] for path in (tmp_path / "output").rglob("*.ndjson") for one in whole_records(path)}

    wait_for(lambda: {"one", "two"} <= arrived(), "the two lines at the collector")
    for service in services:
        status = Path(f"/proc/{service.pid}/status").read_text()
        assert re.search(r"CapBnd:\s0+$", status, re.MULTILINE)
        assert re.search(r"NoNewPrivs:\s1$", status, re.MULTILINE)
        service.systemd.wait_for(lambda line: line == "WATCHDOG=1", "a feeding")
    if os.geteuid() == 0:
        assert "not for adm" not in arrived()
        assert "secret.log" in agent.log.read_text()
    for service in (agent, collector):
        os.kill(service.pid, signal.SIGTERM)
        assert service.wait() == 0, service.log.read_text()
        assert "STOPPING=1" in service.systemd.hear()


def test_the_agent_follows_the_journal_of_its_machine_with_the_rights_of_the_unit(
    tmp_path: Path, services: tuple[Service, Service]
) -> None:
    """The group may read it; what came from another machine is left out; journalctl keeps to the filter too."""
    agent, collector = services
    ids = ["7f272978644b4ee1bf5d375ff2bdda57", "8f272978644b4ee1bf5d375ff2bdda58"]
    (agent.sandbox.etc / "machine-id").write_text(f"{ids[0]}\n")
    text = agent.config.read_text()
    agent.config.write_text(text.replace("  # journal: {type: journald}\n", "  journal: {type: journald}\n"))
    assert agent.config.read_text() != text
    journals = [Journal(tmp_path / "log" / "journal" / name) for name in ids]
    try:
        for name, journal in zip(ids, journals, strict=True):
            journal.write(b"there", _MACHINE_ID=name)
            if os.geteuid() == 0:
                shutil.chown(journal.file, group="systemd-journal")
            journal.file.chmod(0o640)
        collector.start()
        collector.systemd.wait_for(lambda line: line == "READY=1", "READY=1")
        agent.start("strace", "-f", "-o", f"{agent.environment['STATE_DIRECTORY']}/trace")
        agent.systemd.wait_for(lambda line: line == "READY=1", "READY=1")

        def arrived() -> list[object]:
            out = (tmp_path / "output").rglob("*.ndjson")
            return [(record["message"], record["_MACHINE_ID"]) for path in out for record in whole_records(path)]

        wait_for(lambda: arrived() == [("there", ids[0])], "the entry that was there")
        for turn in (b"one", b"two"):
            for name, journal in reversed(list(zip(ids, journals, strict=True))):
                journal.write(turn, _MACHINE_ID=name)
        expected = [(message, ids[0]) for message in ("there", "one", "two")]
        wait_for(lambda: len(arrived()) >= len(expected), f"the entries that came\n{agent.log.read_text()[-2000:]}")
        assert arrived() == expected
    finally:
        for journal in journals:
            journal.close()
    child = Path(f"/proc/{agent.pid}/task/{agent.pid}/children").read_text()
    os.kill(int(child), signal.SIGTERM)
    assert agent.wait() == 0, agent.log.read_text()
    made = set(re.findall(r"^\d+ +([a-z0-9_]+)\(", (tmp_path / "agent-state" / "trace").read_text(), re.MULTILINE))
    assert made - allowed(agent.unit) == set()


def test_every_system_call_of_both_is_one_that_the_filter_lets_through(
    tmp_path: Path, services: tuple[Service, Service]
) -> None:
    """The filter itself needs systemd; which calls are made, and which it allows, can be compared here."""
    (tmp_path / "log" / "daemon.log").write_text("one\n")
    agent, collector = services
    for service in (collector, agent):
        service.start("strace", "-f", "-o", f"{service.environment['STATE_DIRECTORY']}/trace")
        service.systemd.wait_for(lambda line: line == "READY=1", "READY=1")
    wait_for(lambda: any((tmp_path / "output").rglob("*.ndjson")), "a line at the collector")
    for name, service in zip(UNITS, services, strict=True):
        child = Path(f"/proc/{service.pid}/task/{service.pid}/children").read_text()
        os.kill(int(child), signal.SIGTERM)
        assert service.wait() == 0
        trace = (tmp_path / f"{name}-state" / "trace").read_text()
        made = set(re.findall(r"^\d+ +([a-z0-9_]+)\(", trace, re.MULTILINE))
        assert {"execve", "fdatasync", "sendto"} <= made
        assert made - allowed(service.unit) == set()


def allowed(unit: Unit) -> set[str]:
    """The system calls that the unit's SystemCallFilter lines leave."""
    calls: set[str] = set()
    for line in unit.values["SystemCallFilter"]:
        names = {call for group in line.removeprefix("~").split() for call in expand(group)}
        calls = calls - names if line.startswith("~") else calls | names
    return calls


def expand(group: str) -> set[str]:
    if not group.startswith("@"):
        return {group}
    shown = subprocess.run(["systemd-analyze", "syscall-filter", group], capture_output=True, text=True, check=True)
    names = [line.strip() for line in shown.stdout.splitlines()[1:]]
    return {call for name in names if name and not name.startswith("#") for call in expand(name)}
