"""A thread of a sink's own for its blocking steps: a slow disk or pipe holds up that sink and nothing else."""

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, TypeVar

T = TypeVar("T")


class Worker:
    """Runs blocking steps one at a time, in order.

    A step whose caller was cancelled is skipped if it has not begun, else it runs to its end, and the next one after
    it. The thread is a daemon: a step that hangs (a pipe that nobody reads) does not keep the process from ending.
    """

    def __init__(self, name: str) -> None:
        self._jobs: Final[queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None]] = queue.SimpleQueue()
        self._name = name
        self._thread: threading.Thread | None = None

    async def run(self, step: Callable[[], T]) -> T:
        """Run ``step`` on the thread; what it returns or raises."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name=self._name, daemon=True)
            self._thread.start()
        future: Future[T] = Future()
        self._jobs.put((future, step))
        return await asyncio.wrap_future(future)

    def stop(self) -> None:
        """End the thread once the steps given so far are done; ``run`` starts a new one."""
        if self._thread is not None:
            self._jobs.put(None)
            self._thread = None

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            future, step = job
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = step()
            except BaseException as error:  # noqa: BLE001 - whatever it is, it is the caller's
                future.set_exception(error)
            else:
                future.set_result(result)
            del job, future, step  # what a step holds (a group's bytes) must not wait for the next one
