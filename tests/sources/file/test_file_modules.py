"""The modules of the file source."""

import pkgutil
import re

from shipper.sources import file


def test_the_package_says_what_each_of_its_modules_is_for() -> None:
    """Once each; there are too many to guess."""
    named = re.findall(r"^(\w+)  +\S", file.__doc__ or "", re.MULTILINE)
    assert sorted(named) == sorted(module.name for module in pkgutil.iter_modules(file.__path__))
