"""How other commands talk to a running sandbox: one JSON object a line on a unix socket.

Promise: every request gets one answer, `{"ok": true, ...}` or `{"ok": false, "error": ...}`; a bad
one disturbs nothing.
"""

import json
import socket
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import trio

from controller.sandbox.block import home
from controller.sandbox.kubelet import NotRunning
from controller.sandbox.links import LinkRefused
from controller.sandbox.world import NoSuchTarget, Sandbox

SOCKET = "sandbox.sock"
LINE_BYTES_MAX = 65_536
ANSWER_S = 30.0  # a graceful deletion waits for nobody; this is for a busy machine
END_S = 30.0  # children have 2 s each for SIGTERM, all at once
LOOK_S = 0.05

FAULTS = (
    "kill",
    "stop",
    "cont",
    "delete",
    "force-delete",
    "partition",
    "heal",
    "api-down",
    "api-up",
)


class NoSandbox(Exception):
    """None of that name runs; the message says what to do."""


async def serve_control(sandbox: Sandbox, stop: Callable[[], None]) -> None:
    """Answer until cancelled. `stop` ends the sandbox."""
    path = sandbox.block.directory / SOCKET
    listener = trio.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    await listener.bind(str(path))
    listener.listen(8)
    handler = partial(_serve_one, sandbox, stop)
    await trio.serve_listeners(handler, [trio.SocketListener(listener)])


async def _serve_one(sandbox: Sandbox, stop: Callable[[], None], stream: trio.SocketStream) -> None:
    async with stream:
        try:
            line = await _read_line(stream)
            answer = await _answer(sandbox, line)
            await stream.send_all(json.dumps(answer).encode() + b"\n")
        except trio.BrokenResourceError:
            return
        if answer.pop("stop", False):
            stop()


async def _read_line(stream: trio.SocketStream) -> bytes:
    line = b""
    while not line.endswith(b"\n") and len(line) < LINE_BYTES_MAX:
        more = await stream.receive_some()
        if not more:
            break
        line += more
    return line


async def _answer(sandbox: Sandbox, line: bytes) -> dict[str, Any]:
    try:
        ask = json.loads(line)
        do, target, peer = ask["do"], ask.get("target", ""), ask.get("with", "")
        if do == "status":
            return {"ok": True, **status(sandbox)}
        if do == "down":
            return {"ok": True, "stop": True}
        await _fault(sandbox, do, target, peer)
    except (ValueError, KeyError, TypeError) as error:
        return {"ok": False, "error": f"not understood: {error!r}"}
    except (NoSuchTarget, NotRunning, LinkRefused, OSError, trio.TooSlowError) as error:
        return {"ok": False, "error": str(error) or type(error).__name__}
    return {"ok": True, "target": target}


async def _fault(sandbox: Sandbox, do: str, target: str, peer: str) -> None:
    actions: Mapping[str, Callable[[], Awaitable[None] | None]] = {
        "kill": partial(sandbox.kill, target),
        "stop": partial(sandbox.stop, target),
        "cont": partial(sandbox.cont, target),
        "delete": partial(sandbox.delete, target),
        "force-delete": partial(sandbox.force_delete, target),
        "partition": partial(sandbox.partition, target, peer),
        "heal": partial(sandbox.heal, target),
        "api-down": partial(sandbox.api_down, target),
        "api-up": partial(sandbox.api_up, target),
    }
    done = actions[do]()
    if done is not None:
        await done


def status(sandbox: Sandbox) -> dict[str, Any]:
    """What `sandbox status` shows."""
    pids: dict[str, int | None] = {}
    for name in (*sandbox.instances, *sandbox.controllers):
        try:
            pids[name] = sandbox.pid(name)
        except NotRunning:
            pids[name] = None
    noted = {what: sandbox.noted(what) for what in ("phase", "main", "sync", "term", "seq")}
    return {**sandbox.card(), **noted, "leader": sandbox.leader(), "pids": pids}


def running() -> list[str]:
    """Names of the sandboxes that run now."""
    return sorted(path.parent.name for path in home().glob(f"*/{SOCKET}"))


def path_of(name: str) -> Path:
    """The control socket of the sandbox of that name, or of the only one. Raises NoSandbox."""
    names = running()
    if not name and len(names) != 1:
        what = f"several run: {', '.join(names)}" if names else "none runs"
        raise NoSandbox(f"{what}; start one with `memgraph-controller sandbox up`, or say --name")
    return home() / (name or names[0]) / SOCKET


def ask_sandbox(name: str, ask: Mapping[str, Any]) -> dict[str, Any]:
    """Ask the sandbox of that name, or the only one.

    Raises NoSandbox; ValueError when it answers nothing that can be read.
    """
    path = path_of(name)
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(ANSWER_S)
        try:
            connection.connect(str(path))
        except OSError as error:
            raise NoSandbox(f"no sandbox called {path.parent.name!r} runs") from error
        connection.sendall(json.dumps(dict(ask)).encode() + b"\n")
        with connection.makefile("rb") as lines:
            answer: dict[str, Any] = json.loads(lines.readline())
        return answer


def end_sandbox(name: str) -> None:
    """The sandbox of that name, or the only one, has ended, and its files are gone.

    Raises NoSandbox; TimeoutError; ValueError as `ask_sandbox`.
    """
    directory = path_of(name).parent
    ask_sandbox(directory.name, {"do": "down"})
    deadline = time.monotonic() + END_S
    while directory.exists():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{directory} is still there after {END_S:.0f} s")
        time.sleep(LOOK_S)
