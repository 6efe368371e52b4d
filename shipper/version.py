"""The release."""

from typing import Final

VERSION: Final = "0.1.0"
"""The wheel takes it from here. A constant: importlib.metadata would cost an agent megabytes."""
