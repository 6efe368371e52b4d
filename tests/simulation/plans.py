"""The plans that the fault campaign simulates, by name."""

from typing import Final

from simulation.faults import ALL
from simulation.simulation import Plan

PLANS: Final = {
    plan.name: plan
    for plan in (
        Plan("plain"),
        Plan("delivered", delivered=True, framed=True),
        Plan("many", agents=4, files=2, storm=(60.0, 300.0)),
        Plan("roaming", agents=3, collectors=2, once=False),
        Plan("roaming, new disks", agents=3, collectors=3, once=False, delivered=True, kinds=(*ALL, "wipe")),
        Plan("sharing", collectors=2, delivered=True, shared=True),
        Plan(
            "sharing, new disks",
            agents=3,
            collectors=3,
            delivered=True,
            shared=True,
            framed=True,
            kinds=(*ALL, "wipe"),
        ),
        Plan("dropping", copies=True, storm=(100.0, 400.0), kinds=(*ALL, "lag", "lag", "lag")),
        Plan("put back", once=False, kinds=(*ALL, "restore", "restore")),
        Plan(
            "put back, delivered",
            collectors=2,
            once=False,
            delivered=True,
            kinds=(*ALL, "restore", "restore"),
        ),
        Plan("clocks", kinds=("clock", "clock", "suspend", "suspend", "kill", "cut")),
        Plan("outage", agents=1, files=2, kinds=("kill", "power", "stop", "clock", "refuse")),
    )
}
