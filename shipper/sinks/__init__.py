"""One module a sink: ``type: NAME`` in a config is the Sink class in ``shipper/sinks/NAME.py``."""
