"""The ledger: what became of every byte range of every file. Sans-IO, but for ``store`` (SQLite) and ``audit``.

A ``Book`` has an ``Account`` for every file generation. The spool's log keeps one (shipper/spool/facts.py): the source
ranges of a frame are entered when the frame's entry is durable, every segment begins with the book in its snapshot, and
a start enters what the entries after that say. So an agent has its ledger in its entries, and it can never know more,
or less, than they do. A collector enters the ranges of its agents' frames in the same way.

    covered    told of: read, or lost for a reason
    read       its records were kept, dropped by a processor, or went to the dead letters
    lost       nobody can read it any more: overwritten, vanished, too long ...; or a gap came in its place
    elsewhere  another collector acknowledged it
    twice      read a second time
    queued     in the spool, and not acknowledged by a sink (found out when somebody asks: ``audit``)

What is not covered and lies between what is, is a hole: the balance does not balance.
"""
