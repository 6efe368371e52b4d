"""``shipper demo``: the product on one machine, with faults, watched and checked.

``story`` directs it; ``nodes`` are the real agent and collector processes, ``proxy`` the link between them, ``writer``
the application whose logs are shipped, ``lines`` what it writes, ``view`` what the terminal shows, ``verify`` the count
at the end.
"""
