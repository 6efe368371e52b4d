"""The dead letters of a data directory as people see them: by id, and without those that were replayed."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from shipper.batch import DeadLetter
from shipper.errors import SpoolError
from shipper.spool import replayed
from shipper.spool.inspect import LookingDisk, look
from shipper.spool.letters import Letter, all_letters, id_of, sizes_of


class Seen(NamedTuple):
    """A dead letter."""

    id: str
    at: Letter
    replayed: bool

    @property
    def letter(self) -> DeadLetter:
        """The letter itself."""
        return self.at.stored.letter


class LetterBox:
    """The letters that are there when it is made. It needs no lock, and no process."""

    def __init__(self, root: Path) -> None:
        """``root``: the spool's directory.

        :raises SpoolDenied: this user may not read it. :raises FutureFormat: a newer shipper wrote it.
        """
        self._disk: Final = LookingDisk(root)
        self.sizes: Final[Mapping[str, int]] = sizes_of(self._disk)
        """The files."""
        view = look(self._disk)  # later than the files: a letter of theirs that was replayed since is known as such
        self._home = view.identity.home or view.identity.stream
        self._last = replayed.decode(view.state.get(replayed.KEY))

    def __iter__(self) -> Iterator[Seen]:
        """All of them, oldest first.

        :raises SpoolError: the disk cannot read a file. :raises FutureFormat: a newer shipper wrote it.
        """
        listed = self._last.places
        for letter in all_letters(self._disk, self.sizes):
            place = letter.stored.place
            done = letter.struck or (letter.stream == self._last.stream and place in listed)
            yield Seen(id_of(place, letter.stream, self._home), letter, done)

    def find(self, ids: Collection[str]) -> list[Seen]:
        """The letters of these ids, oldest first.

        :raises SpoolError: there is none of some id.
        """
        wanted = set(ids)
        found = [seen for seen in self if seen.id in wanted]
        missing = wanted.difference(seen.id for seen in found)
        if missing:
            raise SpoolError(
                f"there is no dead letter {', '.join(sorted(missing))}: 'shipper dlq ls' shows those that there are"
            )
        return found
