"""The standard processors: one file each, found by the name of its module."""
