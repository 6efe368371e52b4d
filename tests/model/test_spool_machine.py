"""The state machine of support/spool_machine.py.

``SPOOL_EXAMPLES`` and ``SPOOL_STEPS`` make it longer, ``--hypothesis-seed`` replays a run.
"""

import os

from hypothesis import HealthCheck, Phase, settings
from support.spool_machine import SpoolMachine

_LONG = "SPOOL_EXAMPLES" in os.environ

TestSpool = SpoolMachine.TestCase
TestSpool.settings = settings(
    max_examples=int(os.environ.get("SPOOL_EXAMPLES", "250")),
    stateful_step_count=int(os.environ.get("SPOOL_STEPS", "25")),
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate] + ([] if _LONG else [Phase.shrink]),
)
