"""The disk-backed queue: frame codec, segments, writer, cursors, recovery."""
