"""``shipper audit``: what became of every byte range of every file, and whether that adds up."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from shipper.cli.targets import TARGET_HELP, find_target

if TYPE_CHECKING:
    from shipper.ledger.account import Account
    from shipper.ledger.audit import Audit

HELP = "Print a balance of every file: delivered, queued, dropped, dead-lettered, unread, lost."

_EPILOG = """\
examples:
  shipper audit agent.yaml
  shipper audit --json /var/lib/shipper/collector

TARGET is a config file, or a data directory. Nothing is changed, and shipper may be running.
Exit codes: 0 it balances, 1 it does not (the ranges are printed), 2 wrong usage or config.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EPILOG
    parser.add_argument("--json", action="store_true", help="for programs")
    parser.add_argument("target", metavar="TARGET", type=Path, help=TARGET_HELP)


def execute(args: argparse.Namespace) -> int:
    """Do it; 1 when something cannot be explained.

    :raises ConfigError: the target is no config and no data directory.
    :raises ShipperError: the spool cannot be read.
    """
    import msgspec

    from shipper.cli.audit_listing import text
    from shipper.ledger.audit import audit
    from shipper.ledger.rows import NAME
    from shipper.spool.inspect import LookingDisk, look

    target = find_target(args.target)
    disk = LookingDisk(target.root)
    found: Audit = audit(disk, look(disk), str(target.data_dir), _rows(target.data_dir / NAME))
    sys.stdout.write(msgspec.json.encode(found).decode() + "\n" if args.json else text(found))
    return 0 if found.balanced else 1


def _rows(database: Path) -> "list[tuple[bytes, Account]]":
    """Those of a collector's database. It is an index: what the spool still has balances without it."""
    from shipper.errors import LedgerDamaged, LedgerFailed
    from shipper.ledger.rows import read_rows

    if not database.exists():
        return []
    try:
        return list(read_rows(database))
    except (LedgerFailed, LedgerDamaged) as error:
        sys.stderr.write(f"shipper: without the files that only the collector's database knows: {error}\n")
        return []
