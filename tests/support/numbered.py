"""Numbered lines in several files, written as programs write them; and whether each of them arrived."""

import hashlib
import random
import threading
import time
from collections.abc import Iterable
from pathlib import Path

FILES = 20


def line(file: int, number: int) -> str:
    """A line that tells where it stands, and whether it was altered."""
    text = f"{file} {number} {'x' * (number * 7 % 150)}"
    return f"{text} {hashlib.blake2b(text.encode(), digest_size=6).hexdigest()}"


class Writer(threading.Thread):
    """Appends to all files in turn, now and then in the middle of a line."""

    def __init__(self, folder: Path, each: int, seed: int, rounds: int = 200) -> None:
        """``each``: lines of a file; it takes a tenth of a second a round, and longer on a busy disk."""
        super().__init__(daemon=True)
        self._paths = [folder / f"app-{file}.log" for file in range(FILES)]
        self._each, self._seed, self._rounds = each, seed, rounds
        self.until = each
        """It waits when it has written so many lines of each file."""
        self.written = 0
        """Lines of each file that are complete."""

    def run(self) -> None:
        dice = random.Random(self._seed)
        handles = [path.open("ab", buffering=0) for path in self._paths]
        step = max(1, self._each // self._rounds)
        for begin in range(0, self._each, step):
            while begin >= self.until:
                time.sleep(0.01)
            for file, handle in enumerate(handles):
                data = "".join(line(file, n) + "\n" for n in range(begin, min(begin + step, self._each))).encode()
                cut = dice.randrange(len(data))
                handle.write(data[:cut])
                handle.write(data[cut:])
            self.written = min(begin + step, self._each)
            time.sleep(0.09)
        for handle in handles:
            handle.close()


def check(messages: Iterable[str], each: int, hint: str) -> None:
    """Every line once, unaltered, in the order of its file."""
    expected = dict.fromkeys(range(FILES), 0)
    for message in messages:
        file, number = (int(word) for word in message.split(" ", 2)[:2])
        assert number == expected[file], f"{hint}: file {file}: line {number} where {expected[file]} was due"
        assert message == line(file, number), f"{hint}: altered: {message}"
        expected[file] += 1
    assert expected == dict.fromkeys(range(FILES), each), hint
