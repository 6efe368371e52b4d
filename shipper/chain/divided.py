"""Which records to try next when a processor's process did not survive a batch. Sans-IO."""

from typing import NamedTuple

from shipper.chain.child import ChildEnded, ChildOverdue


class Part(NamedTuple):
    """Records from ``start`` to ``end``, to be processed, or to fail with ``error``."""

    start: int
    end: int
    error: str = ""
    again: bool = False
    """They were tried before, in these bounds."""


class UnsendableError(ChildEnded):
    """There is something in the records that cannot be sent to the child."""


def divided(part: Part, ended: ChildEnded, at: int | None, *, may_repeat: bool) -> list[Part]:
    """What to do, in this order, with records that got no answer. ``at``: the one that the child had in hand, where it
    said so; ``may_repeat``: the processor may see a record twice.

    A record is found guilty when it is processed alone, or was at the time limit for most of it. Somebody may kill a
    child, or the system, for want of memory: so the same bounds are tried twice, unless that takes another deadline.
    """
    start, end, _, again = part
    error = str(ended)
    overdue = isinstance(ended, ChildOverdue)
    if isinstance(ended, UnsendableError):
        again, at = True, None
    elif not may_repeat:
        last = end if at is None else at + 1
        parts = [Part(start, last, error), Part(last, end)]
        return [part for part in parts if part.start < part.end]
    if end - start == 1:
        return [Part(start, end, error) if again or overdue else Part(start, end, again=True)]
    if at is None and not (again or overdue):
        return [Part(start, end, again=True)]
    if at is None:
        middle = (start + end) // 2
        return [Part(start, middle, again=again), Part(middle, end, again=again)]
    if isinstance(ended, ChildOverdue) and ended.stalled:
        parts = [Part(start, at), Part(at, at + 1, error), Part(at + 1, end)]
    else:  # what came before it took time, too: half of that is sure to fit
        middle = (start + at) // 2
        parts = [Part(start, middle), Part(middle, at), Part(at, at + 1), Part(at + 1, end)]
    return [part for part in parts if part.start < part.end]
