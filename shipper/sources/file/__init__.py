"""The ``file`` source.

globs      include and exclude, expanded by directory
identity   what a file generation is recognised by, and how its position is kept
tail       reading one generation
framing    from bytes to lines
catalog    which files there are
discover   scans, and what follows from them
order      what is read before what
schedule   whose turn it is
watch      hints from the system
moves      files that were renamed between two scans
worker     what runs on worker threads
follow     the loop over all this
source     the config
"""

from shipper.sources.file.source import FileSource

__all__ = ["FileSource"]
