"""The ``file`` source.

Which files there are:

globs           include and exclude, expanded by directory
names           what rotated files are called
rotated         files that were renamed while nobody looked
identity        what a file generation is recognised by, and how its position is kept
doubts          whether a file with a known inode number is the one known
refused         files that are no logs
rights          why files may not be read, and what helps
examine         what a file that was sighted is; on worker threads
catalog         all tails of a source
order           what is read before what
moves           files that were renamed between two scans
tracing         where those are by now
likeness        whether a file holds what is known already
candidates      compressed files that were seen, and when they are looked into
archives        compressed files: known ones, new ones, and those that nobody asked for
kin             copies of known files, which go on as those
limits          what goes by time: files that are too old, or deleted for too long
changes         state and losses that wait for a batch
lags            how far behind each file is
descriptors     how many files may be open
glance          rescans that are no scans
keeping         files that are followed, till they are let go
discover        scans, and what follows from them

When something is to be read:

filesystems     where writes give no events
watch           hints from the system
watch_fallback  the same where there is no inotify, or not enough of it
schedule        whose turn it is
turns           reads, handed to the intake
follow          the loop over all this
worker          what runs on worker threads

What is read, in the order of the data's way:

packed          compressed files
handle          an open file
durable         logs that are synced before they are read
tail            one generation of a file, and how far it was read
reading         reads of it, verified
text            from its bytes to lines in UTF-8
framing         what a read gives
containers      the lines of container runtimes
logic           which lines make a record
own_patterns    the same, by patterns of one's own
presets         which do in the stack traces of some languages
multiline       the lines of one stream, joined
marks           where open records begin
stages          from lines to records
streams         the same for the streams of a container
join            open records over reads, restarts and rotations
source          the config
"""

from shipper.sources.file.source import FileSource

__all__ = ["FileSource"]
