"""Settings of all tests."""

import os

from hypothesis import HealthCheck, settings

# Time says nothing on a shared machine: no deadline an example, no complaint about slow generation. CI runs the same
# examples every time, so that a red run is the change's; elsewhere they are new each time.
settings.register_profile(
    "shipper", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=bool(os.environ.get("CI"))
)
settings.load_profile("shipper")
