"""The ``journald`` source: systemd's journal, every entry once.

``export`` is the format of entries and what records are made of them, ``journalctl`` the process that reads the
journal, ``reader`` what lies between them and the intake, ``source`` the config.
"""

from shipper.sources.journald.source import JournaldSource

__all__ = ["JournaldSource"]
