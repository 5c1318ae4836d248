"""Ends what a sandbox has started when the sandbox itself was killed and could not.

Promise: it waits on a pipe that closes with the sandbox, whatever ends that. Then it kills, by pid,
exactly the processes whose environment carries this sandbox's own mark, and removes its directory.
"""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from controller.sandbox.block import remove

MARK = "MEMGRAPH_CONTROLLER_SANDBOX"  # environment variable of everything that a sandbox starts
ROUNDS = 5  # a process may be starting while we look


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
    for _ in range(ROUNDS):
        pids = list(marked(mark))
        for pid in pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if not pids:
            return


def main() -> int:
    """usage: watchdog MARK DIRECTORY, with the pipe as standard input."""
    mark, directory = sys.argv[1], Path(sys.argv[2])
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)  # Ctrl-C is for the sandbox, which ends us
    said = sys.stdin.buffer.read()
    if said != b"done":
        end_all(mark)
        remove(directory)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
