"""``shipper test``: do the cases of a config hold?"""

import argparse
import sys
from pathlib import Path

from shipper.config import load

HELP = "Run the cases that stand beside a config (agent.test.yaml for agent.yaml), and show what differs."

_EPILOG = """\
example:
  shipper test agent.yaml      # 0: all cases hold, 1: some do not, 2: the config or the cases cannot be used

a file of cases:
  cases:
    - name: debug lines are dropped
      input: '{"level": "debug"}'
      dropped_by: drop
    - name: the others get a team
      input: '{"level": "info"}'
      expect: {level: info, team: payments}
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = _EPILOG
    parser.add_argument("config", nargs="+", metavar="CONFIG", help="a file, or a directory of *.yaml and *.yml")


def execute(args: argparse.Namespace) -> int:
    """Run the cases; 1 when one does not hold.

    :raises ConfigError: the config or a file of cases cannot be used, or there is none.
    """
    from shipper.cases import cases_beside, load_cases, verdict
    from shipper.errors import ConfigError

    config = load(args.config)
    files = [cases_beside(Path(path)) for path in args.config]
    there = [path for path in files if path.exists()]
    if not there:
        text = f"there are no cases: write {files[0]}; 'shipper test --help' shows how such a file looks"
        raise ConfigError([text])
    failed = 0
    cases = [case for path in there for case in load_cases(path, config)]
    for placed in cases:
        rows = verdict(config, placed.case)
        failed += bool(rows)
        sys.stdout.write(f"FAILED  {placed.name} ({placed.place})\n" if rows else f"ok      {placed.name}\n")
        sys.stdout.write("".join(f"        {row}\n" for row in rows))
    count = "1 case" if len(cases) == 1 else f"{len(cases)} cases"
    sys.stdout.write(f"{count}, {f'{failed} failed' if failed else 'all hold'}\n")
    return 1 if failed else 0
