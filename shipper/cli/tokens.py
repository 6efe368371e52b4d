"""``shipper tokens``: who may send to a collector."""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

ACTIONS: Final = ("add", "ls", "forget")
HELP = "Manage the bearer tokens with which senders prove who they are to a collector."

_EPILOG = """\
examples:
  shipper tokens add shop-berlin --file /etc/shipper/tokens    # prints the token, once
  shipper tokens ls --file /etc/shipper/tokens
  shipper tokens forget shop-berlin --file /etc/shipper/tokens

The collector names the file (tokens: /etc/shipper/tokens) and reads it again when it changes; connections with a token
that was forgotten end within seconds. The file holds hashes: a token that was lost cannot be shown again, add another.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EPILOG
    commands = parser.add_subparsers(metavar="ACTION", required=True, dest="action")
    for action, text in (
        ("add", "make a token for a principal, and print it"),
        ("ls", "show the principals, their tokens' ids and when they were made"),
        ("forget", "revoke every token of a principal, or the token with an id"),
    ):
        command = commands.add_parser(action, help=text, description=text, allow_abbrev=False)
        if action != "ls":
            command.add_argument("name", metavar="NAME", help="the principal" + " or id" * (action == "forget"))
        command.add_argument("--file", type=Path, required=True, help="the tokens file, as the collector's config says")


def execute(args: argparse.Namespace) -> int:
    """Do it.

    :raises TokensError: the file cannot be used, or the name is wrong.
    """
    from shipper.wire import tokens

    if args.action == "add":
        token = tokens.add(args.file, args.name, f"{datetime.now(UTC):%Y-%m-%d}")
        sys.stderr.write(f"a token for {args.name}; it is shown this once, put it into the sender's 'token_file':\n")
        sys.stdout.write(f"{token}\n")
    elif args.action == "forget":
        for gone in tokens.forget(args.file, args.name):
            sys.stdout.write(f"forgot {gone.id} of {gone.principal}\n")
    else:
        for known in sorted(tokens.read(args.file), key=lambda token: (token.principal, token.created)):
            sys.stdout.write(f"{known.id}  {known.created}  {known.principal}\n")
    return 0
