"""Probes by TCP connect, HTTP GET and command.

Promise: a probe returns a plain yes or no within its timeout, whatever the other side does, and
leaves no connection and no process behind.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import trio

from ..apiserver import Object
from .containers import BadSpec

KINDS = ("startupProbe", "livenessProbe", "readinessProbe")
TIMEOUT_S = 1.0  # Kubernetes' own defaults, here and below
PERIOD_S = 10.0
FAILURE_THRESHOLD = 3
SUCCESS_THRESHOLD = 1
STATUS_LINE_BYTES_MAX = 4096

Execute = Callable[[list[str]], Awaitable[int]]  # runs in the container; returns the exit code


def port_of(container: Object, port: object) -> int:
    """Return the number of a port that may be given by name.

    Raises:
        BadSpec: No port of that name.
    """
    if isinstance(port, int):
        return port
    for entry in container.get("ports") or []:
        if entry.get("name") == port:
            return int(entry["containerPort"])
    raise BadSpec(f"no port is called {port!r}")


def check_probes(container: Object) -> None:
    """Return if the container's probes can be run here.

    Raises:
        BadSpec: One cannot.
    """
    for kind in KINDS:
        probe = container.get(kind)
        if probe is None or "exec" in probe:
            continue
        target = probe.get("tcpSocket") or probe.get("httpGet")
        if target is None:
            raise BadSpec(f"{kind}: only exec, tcpSocket and httpGet, not {sorted(probe)}")
        port_of(container, target["port"])


async def succeeds(kind: str, container: Object, address: str, execute: Execute) -> bool:
    """Say whether this probe of the container succeeds now."""
    probe = container[kind]
    with trio.move_on_after(float(probe.get("timeoutSeconds", TIMEOUT_S))):
        if "exec" in probe:
            return await execute(list(probe["exec"]["command"])) == 0
        return await _connects(container, probe, address)
    return False


async def _connects(container: Object, probe: Object, address: str) -> bool:
    target = probe.get("tcpSocket") or probe["httpGet"]
    host = target.get("host") or address
    try:
        stream = await trio.open_tcp_stream(host, port_of(container, target["port"]))
    except OSError:
        return False
    try:
        if "tcpSocket" in probe:
            return True
        return await _answers(stream, host, str(target.get("path", "/")))
    finally:
        await trio.aclose_forcefully(stream)


async def _answers(stream: trio.SocketStream, host: str, path: str) -> bool:
    """Say whether a GET is answered with a code from 200 to 399."""
    line = b""
    try:
        await stream.send_all(
            f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
        )
        while b"\r\n" not in line and len(line) < STATUS_LINE_BYTES_MAX:
            data = await stream.receive_some()
            if not data:
                return False
            line += data
    except trio.BrokenResourceError:
        return False
    words = line.split(None, 2)
    return len(words) > 1 and words[1].isdigit() and 200 <= int(words[1]) < 400
