"""Starts the relay processes, with the niceness that they shall have."""

import os
import queue
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import trio

HOME = str(Path(__file__).parents[1])


class Launcher:
    """Starts processes from a thread of its own, which keeps the niceness that this process had
    when the launcher was made: a child inherits it from the thread that starts it."""

    def __init__(self) -> None:
        self._orders: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        threading.Thread(target=self._work, name="launcher", daemon=True).start()

    def _work(self) -> None:
        while True:
            self._orders.get()()

    async def start(
        self, words: list[str], descriptors: tuple[int, ...]
    ) -> subprocess.Popen[bytes]:
        """Raises OSError when no process can be made."""
        answers: queue.SimpleQueue[subprocess.Popen[bytes] | OSError] = queue.SimpleQueue()

        def order() -> None:
            try:
                answers.put(_spawn(words, descriptors))
            except OSError as error:
                answers.put(error)

        self._orders.put(order)
        with trio.CancelScope(shield=True):  # a process that was started must be known
            answer = await trio.to_thread.run_sync(answers.get)
        if isinstance(answer, OSError):
            raise answer
        return answer


def _spawn(words: list[str], descriptors: tuple[int, ...]) -> subprocess.Popen[bytes]:
    paths = [HOME, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.Popen(words, pass_fds=descriptors, stdin=subprocess.DEVNULL, env=environment)
