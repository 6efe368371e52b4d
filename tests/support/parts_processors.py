"""Processors for tests of the config, as one would write them beside a config file."""

PROCESSORS = '''
import re

from shipper import Processor, Record


class Count(Processor):
    """Count records."""

    every: int = 1
    """Every how many."""

    def setup(self):
        if self.every < 1:
            raise ValueError("every must be at least 1")
        self.open = True

    def teardown(self):
        self.open = False

    def process(self, record: Record) -> Record:
        return record


class Needy(Processor):
    """A processor that needs a pattern."""

    pattern: re.Pattern[str]
'''
