"""Readiness probes by TCP connect and HTTP GET.

Promise: a probe returns a plain yes or no within its timeout, whatever the other side does, and
leaves no connection behind.
"""

from __future__ import annotations

import trio

from ..apiserver import Object
from .containers import BadSpec

TIMEOUT_S = 1.0  # Kubernetes' own default
STATUS_LINE_BYTES_MAX = 4096


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


def check_probe(container: Object) -> None:
    """Return if the container's readiness probe can be run here.

    Raises:
        BadSpec: It cannot.
    """
    probe = container.get("readinessProbe")
    if probe is None:
        return
    target = probe.get("tcpSocket") or probe.get("httpGet")
    if target is None:
        raise BadSpec(f"readinessProbe: only tcpSocket and httpGet, not {sorted(probe)}")
    port_of(container, target["port"])


async def succeeds(container: Object, address: str) -> bool:
    """Say whether the container's readiness probe succeeds now."""
    probe = container["readinessProbe"]
    target = probe.get("tcpSocket") or probe["httpGet"]
    host = target.get("host") or address
    with trio.move_on_after(float(probe.get("timeoutSeconds", TIMEOUT_S))):
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
    return False


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
