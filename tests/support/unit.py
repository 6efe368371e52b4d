"""A systemd unit's command under the unit's user and limits, without systemd.

What systemd does for the unit, ``unshare``, ``prlimit`` and ``setpriv`` of util-linux do here: a mount namespace in
which everything but the unit's own directories is read-only, no capability, no new privileges, its user and groups,
limits of descriptors and core files, a memory cgroup where one can be made, and systemd's environment variables.
Somebody who is not root gets the same in a user namespace, under his own user.
"""

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
_ETC: Final = ("hosts", "nsswitch.conf", "resolv.conf", "ld.so.cache", "localtime")
_UNITS: Final = {"M": 2**20, "G": 2**30}


class Unit:
    """A parsed unit file: the last value of each key of ``[Service]``; the same key again adds to it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.values: dict[str, list[str]] = {}
        for line in path.read_text().splitlines():
            if "=" in line and not line.startswith("#"):
                key, _, value = line.partition("=")
                self.values.setdefault(key, []).append(value)

    def __getitem__(self, key: str) -> str:
        return self.values[key][-1]

    def size(self, key: str) -> int:
        """A size in bytes, as ``256M``."""
        return int(self[key][:-1]) * _UNITS[self[key][-1]]

    def seconds(self, key: str) -> int:
        return int(self[key].removesuffix("s"))


def install(folder: Path) -> Path:
    """What the four commands of deploy/systemd/README.md make of /opt, from this environment and this clone: bind
    mounts put their folders where a user that may not look into them at their own places can read them.
    """
    opt = folder / "opt"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = opt / "shipper" / "lib" / version / "site-packages"
    for path in (packages, opt / "shipper" / "bin", *(opt / name for name in ("python", "packages", "source"))):
        path.mkdir(parents=True)
    (opt / "shipper" / "pyvenv.cfg").write_text("home = /opt/python/bin\ninclude-system-site-packages = false\n")
    (opt / "shipper" / "bin" / "python").symlink_to(f"/opt/python/bin/{version}")
    (packages / "here.pth").write_text("/opt/packages\n/opt/source\n/opt/source/processors\n")
    command = opt / "shipper" / "bin" / "shipper"
    command.write_text("#!/opt/shipper/bin/python\nimport sys\nfrom shipper.cli import main\nsys.exit(main())\n")
    command.chmod(0o755)
    return opt


class Sandbox:
    """What the process of a unit sees: folders of the test in the place of the system's."""

    def __init__(self, folder: Path, opt: Path) -> None:
        self.folder = folder
        self.opt = opt
        self.etc = folder / "etc"
        self.run = folder / "run"
        for path in (self.etc, self.run):
            path.mkdir(parents=True)
        for name in _ETC:
            if Path("/etc", name).exists():
                (self.etc / name).write_bytes(Path("/etc", name).read_bytes())
        self.binds: list[tuple[Path, str, bool]] = [
            (opt, "/opt", False),
            (Path(sys.base_prefix), "/opt/python", False),
            (ROOT, "/opt/source", False),
            (next(Path(sys.prefix, "lib").glob("python3.*")) / "site-packages", "/opt/packages", False),
            (self.etc, "/etc", False),
            (self.run, "/run", False),
        ]
        """(folder here, where the process sees it, whether it may write there)."""

    def command(
        self, arguments: list[str], user: tuple[int, int, list[int]], environment: dict[str, str], limits: list[str]
    ) -> list[str]:
        """``user`` is uid, gid and supplementary gids; ``limits`` are options of prlimit."""
        script = ["set -e", "mount --make-rprivate /"]
        script += [f"mount --rbind {shlex.quote(str(here))} {there}" for here, there, _ in self.binds]
        # Read-only from the root down; then what may be written to, and a /tmp of its own.
        script.append("mount -o remount,ro,bind /")
        for _, there, writable in self.binds:
            script.append(f"mount -o remount,{'rw' if writable else 'ro'},bind {there}")
        script.append("mount -t tmpfs -o mode=1777 tmpfs /tmp")
        uid, gid, groups = user
        drop = ["setpriv", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all"]
        if os.geteuid() == 0:
            drop += [f"--reuid={uid}", f"--regid={gid}", f"--groups={','.join(map(str, groups)) or gid}"]
        clean = ["env", "-i", "PATH=/usr/local/bin:/usr/bin:/bin", *(f"{k}={v}" for k, v in environment.items())]
        script.append("cd /; umask 0077; exec " + shlex.join(["prlimit", *limits, *drop, *clean, *arguments]))
        spaces = ["-m"] if os.geteuid() == 0 else ["-m", "--map-root-user"]
        return ["unshare", *spaces, "sh", "-c", "\n".join(script)]


def limit_memory(process: "subprocess.Popen[bytes]", name: str, size: int) -> Path | None:
    """Put a process into a memory cgroup of its own; None where none can be made (no root, a container)."""
    for parent, key in (
        (Path("/sys/fs/cgroup/memory"), "memory.limit_in_bytes"),
        (Path("/sys/fs/cgroup"), "memory.max"),
    ):
        group = parent / f"shipper-test-{name}-{process.pid}"
        try:
            group.mkdir()
            (group / key).write_text(str(size))
            (group / "cgroup.procs").write_text(str(process.pid))
        except OSError:
            if group.exists():
                group.rmdir()
            continue
        return group
    return None
