"""What is said of files that may not be read: what would help, and nothing that would not."""

import grp
import stat
from pathlib import Path

import pytest
from support.files import as_nobody

from shipper.sources.file.identity import explain
from shipper.sources.file.rights import told

FILE, FOLDER = stat.S_IFREG, stat.S_IFDIR
LOG = "/var/log/private/app.log"
ANY = next(group for group in grp.getgrall() if group.gr_gid)
UNKNOWN = 4_000_000_001


@pytest.mark.parametrize(
    ("denied", "mode", "group", "advice"),
    [
        (
            LOG,
            FILE | 0o640,
            ANY.gr_gid,
            f"it has mode 0640 and group {ANY.gr_name}: add the user to group {ANY.gr_name}",
        ),
        (LOG, FILE | 0o640, UNKNOWN, f"it has mode 0640 and group {UNKNOWN}: add the user to group {UNKNOWN}"),
        (
            LOG,
            FILE | 0o600,
            UNKNOWN,
            f"group {UNKNOWN}: give the user the right to read it, as with setfacl -m u:USER:r {LOG}",
        ),
        (LOG, FILE | 0o640, 0, f"setfacl -m u:USER:r {LOG}"),
        (LOG, FILE | 0o644, UNKNOWN, "which would allow it: look at SELinux, AppArmor and access control lists"),
        (
            "/var/log/private",
            FOLDER | 0o750,
            UNKNOWN,
            f"/var/log/private has mode 0750 and group {UNKNOWN}: add the user",
        ),
        ("/var/log/private", FOLDER | 0o710, UNKNOWN, "add the user"),
        ("/var/log/private", FOLDER | 0o700, UNKNOWN, "setfacl -m u:USER:rx /var/log/private"),
        (LOG, FOLDER | 0o710, UNKNOWN, f"setfacl -m u:USER:rx {LOG}"),
    ],
)
def test_the_group_is_advised_where_it_helps(denied: str, mode: int, group: int, advice: str) -> None:
    """Not where it may not read the file either, and never that of root."""
    assert advice in told(LOG, denied, mode, group)


def test_a_directory_in_the_way_is_named(open_path: Path) -> None:
    """What is below it may be open to everybody."""
    folder = open_path / "private"
    (folder / "below").mkdir(parents=True)
    log = folder / "below" / "app.log"
    log.touch()
    folder.chmod(0o600)
    with as_nobody(open_path):
        said = explain(str(log), PermissionError())
    folder.chmod(0o700)
    assert said.startswith(f"permission denied: {log}: {folder} has mode 0600 and group ")
