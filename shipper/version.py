"""The release."""

from typing import Final

VERSION: Final = "0.1.0"
"""The same as in pyproject.toml. A constant: importlib.metadata would cost an agent megabytes."""
