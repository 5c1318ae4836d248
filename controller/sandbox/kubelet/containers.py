"""Starting one container as a plain child process, and what is known about it afterwards.

Promise: the child has its own environment, its pod's data directory as working directory, and its
output in a log file; whoever started it ends it by its pid. There is no image, no mount and no
isolation: a command that should write "into its volume" is told where by $(SANDBOX_DATA_DIR).
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Mapping
from io import BufferedWriter
from pathlib import Path

import attrs
import trio

from ..apiserver import Object

_VARIABLE = re.compile(r"\$\$|\$\((?P<name>[A-Za-z_][A-Za-z0-9_.-]*)\)")
LAST_WORDS_MAX = 4096  # as Kubernetes takes of a termination message
SIGNALLED = 128  # a shell and a container runtime report the end by signal n as 128 + n


class BadSpec(Exception):
    """The container asks for what this stand-in does not know; it says so and does not start."""


@attrs.frozen
class Waiting:
    """Not running, and not (only) because it ended."""

    reason: str
    message: str = ""


@attrs.frozen
class Running:
    """The process lives. `started_at` is wall time, for people."""

    started_at: str
    pid: int


@attrs.frozen
class Terminated:
    """The process has ended. Times are wall time, for people."""

    exit_code: int
    started_at: str
    finished_at: str
    message: str = ""

    @property
    def reason(self) -> str:
        """Return the word that kubectl shows."""
        return "Completed" if self.exit_code == 0 else "Error"


@attrs.define(eq=False)
class Container:
    """One container of one pod incarnation. Owned by its pod's worker."""

    spec: Object
    state: Waiting | Running | Terminated = Waiting("ContainerCreating")
    last: Terminated | None = None
    restart_count: int = 0
    ready: bool = False
    started: bool = False  # past its startup probe
    process: trio.Process | None = None

    @property
    def name(self) -> str:
        """Return the container's name within its pod."""
        return str(self.spec["name"])


def expanded(text: str, env: Mapping[str, str]) -> str:
    """Return the text with $(NAME) replaced; unknown names stay, $$ becomes $."""

    def value(found: re.Match[str]) -> str:
        name = found["name"]
        return "$" if name is None else env.get(name, found[0])

    return _VARIABLE.sub(value, text)


def command_of(
    spec: Object, env: Mapping[str, str], entrypoint: Callable[[str], list[str]] | None = None
) -> list[str]:
    """Return the argument vector.

    Raises:
        BadSpec: There is no command, and no image to take one from.
    """
    command = list(spec.get("command") or [])
    if not command:
        if entrypoint is None:
            raise BadSpec("no command, and no image to take one from")
        command = entrypoint(str(spec.get("image", "")))
    return [expanded(str(word), env) for word in (*command, *(spec.get("args") or []))]


def prestop_of(spec: Object) -> list[str]:
    """Return the argument vector of the container's preStop hook, empty when it has none."""
    hook = (spec.get("lifecycle") or {}).get("preStop") or {}
    return [str(word) for word in (hook.get("exec") or {}).get("command") or []]


async def wait_or_kill(process: trio.Process) -> None:
    """Return when it has ended. Cancellation: it gets SIGKILL first."""
    try:
        await process.wait()
    finally:
        with trio.CancelScope(shield=True):
            process.kill()
            await process.wait()


async def start(command: list[str], env: Mapping[str, str], data: Path, log: Path) -> trio.Process:
    """Return the running child; its output goes to the end of `log`.

    Raises:
        OSError: It cannot be started.
    """
    with _opened_log(data, log) as output:
        return await trio.lowlevel.open_process(
            command,
            env=dict(env),
            cwd=data,
            stdin=subprocess.DEVNULL,
            stdout=output.fileno(),
            stderr=subprocess.STDOUT,
        )


def _opened_log(data: Path, log: Path) -> BufferedWriter:
    data.mkdir(parents=True, exist_ok=True)
    log.parent.mkdir(parents=True, exist_ok=True)
    return log.open("ab")


def last_words(file: Path) -> str:
    """What a container left for its status; "" when it left nothing, or no text."""
    try:
        return file.read_bytes()[:LAST_WORDS_MAX].decode()
    except (OSError, UnicodeDecodeError):
        return ""


def exit_code_of(returncode: int) -> int:
    """Return the code as Kubernetes reports it."""
    return SIGNALLED - returncode if returncode < 0 else returncode


async def end(processes: list[trio.Process], patience: trio.CancelScope) -> None:
    """Return when all have ended: asked with SIGTERM, then, at the end of `patience`, SIGKILL.

    A process that was stopped (SIGSTOP) does not see SIGTERM; SIGKILL ends it all the same.
    """
    with patience:
        for process in processes:
            if not patience.cancel_called:  # forced: no warning
                process.terminate()
        for process in processes:
            await process.wait()
    with trio.CancelScope(shield=True):
        for process in processes:
            process.kill()
            await process.wait()
