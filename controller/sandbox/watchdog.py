"""Ends what a sandbox has started when the sandbox itself was killed and could not.

Promise: it waits on a pipe that closes with the sandbox, whatever ends that. Then it kills, by pid,
exactly the processes whose environment carries this sandbox's own mark, and removes its files.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from controller.sandbox.block import forget, remove

MARK = "MEMGRAPH_CONTROLLER_SANDBOX"  # environment variable of everything that a sandbox starts
ROUNDS_MAX = 250  # a process may be starting while we look
ROUND_S = 0.02


def marked(mark: str) -> Iterator[int]:
    """Pids of the processes that carry the mark, but for this one."""
    wanted = f"{MARK}={mark}".encode()
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            environment = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # gone, or somebody else's
        if wanted in environment:
            yield int(entry.name)


def end_all(mark: str) -> None:
    """No process with the mark is left."""
    for _ in range(ROUNDS_MAX):
        pids = list(marked(mark))
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if not pids:
            return
        time.sleep(ROUND_S)


def main() -> int:
    """usage: watchdog MARK DIRECTORY LOCK..., with the pipe as standard input."""
    mark, directory, *locks = sys.argv[1], *map(Path, sys.argv[2:])
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # Ctrl-C is for the sandbox, which ends us
    said = sys.stdin.buffer.read()
    if said != b"done":
        end_all(mark)
        remove(directory)
        forget(locks)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
