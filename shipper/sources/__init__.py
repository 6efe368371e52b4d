"""One module a source: ``type: NAME`` in a config is the Source class in ``shipper/sources/NAME.py``."""
