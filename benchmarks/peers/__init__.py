"""Other programs beside shipper: the same files, the same results, one core each. ``python -m benchmarks.peers``."""
