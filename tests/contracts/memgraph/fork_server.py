"""Starts stand-ins by forking one warmed-up process: an import costs more than a whole test.

Promise: each child is a process of its own with its own session, ended when its parent's input
ends. Asked with one JSON object a line: argv, env, directory. Answers with the child's pid; when a
child ends, its code (negative: the signal) is in the file `DIRECTORY/exits/PID`.
"""

import json
import os
import select
import signal
import sys
from pathlib import Path
from typing import Any


def main() -> None:
    """Serve until the standard input ends; then end every child."""
    import controller.sandbox.memgraph.__main__ as stand_in

    exits = Path(sys.argv[1])
    children: set[int] = set()
    buffer = b""
    ended, wake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake)
    while True:
        ready = select.select([0, ended], [], [])[0]
        if ended in ready:
            os.read(ended, 65536)
        if 0 in ready:
            data = os.read(0, 65536)
            if not data:
                break
            *lines, buffer = (buffer + data).split(b"\n")
            for line in lines:
                pid = _start(json.loads(line), stand_in)
                children.add(pid)
                os.write(1, f"{pid}\n".encode())
        _collect(children, exits)
    for pid in children:
        os.kill(pid, signal.SIGKILL)
    for pid in children:
        os.waitpid(pid, 0)


def _start(order: dict[str, Any], stand_in: Any) -> int:
    pid = os.fork()
    if pid:
        return pid
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    output = os.open(order["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for number, source in ((0, null), (1, output), (2, output)):
        os.dup2(source, number)
    os.chdir(order["directory"])
    os.environ.update(order["env"])
    sys.argv = ["memgraph-stand-in", *order["argv"]]
    code = 0
    try:
        stand_in.main()
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    finally:
        os._exit(code)


def _collect(children: set[int], exits: Path) -> None:
    for pid in tuple(children):
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            children.remove(pid)
            part = exits / f"{pid}.part"
            part.write_text(str(os.waitstatus_to_exitcode(status)))
            part.rename(exits / str(pid))


if __name__ == "__main__":
    main()
