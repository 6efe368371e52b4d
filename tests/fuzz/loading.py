"""Loading a config that somebody else wrote: what is wrong with it is said with its line, whatever it is."""

import tempfile

from shipper.config import Config, load
from shipper.errors import ConfigError


def loaded(config: bytes) -> Config:
    """:raises ConfigError: it is none; every problem is one printable line that begins with the file."""
    with tempfile.NamedTemporaryFile(suffix=".yaml") as file:
        file.write(config)
        file.flush()
        try:
            return load([file.name])
        except ConfigError as error:
            problems = error.problems or [""]
            odd = [each for each in problems if not (each.startswith(f"{file.name}:") and each.isprintable())]
            if odd:
                raise AssertionError(f"problems that are not said well: {odd}") from error
            raise
