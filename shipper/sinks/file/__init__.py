"""The file sink: NDJSON files, each record exactly once, whatever crashes.

sink           config; items to lines by path
path_template  labels and the time read to a path that cannot leave its root
writer         groups: plan, append, sync; recovery
state          the plan on disk
disk           the system calls
"""

from shipper.sinks.file.sink import FileSink

__all__ = ["FileSink"]
