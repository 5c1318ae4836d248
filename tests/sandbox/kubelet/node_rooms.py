"""What the kubelet's tests hold in their hands, and small programs to be run as containers."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import trio

from controller.sandbox.apiserver import PODS, Store
from controller.sandbox.kubelet import Kubelet

LOOK_S = 0.01  # between two looks at what another process does
# Of this process alone: somebody on this machine may listen on 7687 of every address.
PORT = 20_000 + os.getpid() % 10_000
SLEEP = ["sleep", "60"]
# Ends properly at SIGTERM, and leaves a note that it did.
POLITE = """
import pathlib, signal, sys
def bye(*_):
    pathlib.Path("bye").write_text("bye")
    sys.exit(0)
signal.signal(signal.SIGTERM, bye)
print("up", flush=True)
pathlib.Path("up").write_text("up")
while True:
    signal.pause()
"""
STUBBORN = POLITE.replace("signal.SIGTERM, bye", "signal.SIGTERM, signal.SIG_IGN")
# Listens from SIGUSR1 to SIGUSR2.
DOOR = """
import os, pathlib, signal, socket
signals = {signal.SIGUSR1, signal.SIGUSR2}
signal.pthread_sigmask(signal.SIG_BLOCK, signals)
pathlib.Path("up").write_text("up")
signal.sigwait(signals)
door = socket.create_server((os.environ["SANDBOX_POD_IP"], int(os.environ["PORT"])))
signal.sigwait(signals)
door.close()
signal.sigwait(signals)
"""
# Answers GET /ok with 204 and everything else with 503.
WEB = """
import http.server, os
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(204 if self.path == "/ok" else 503)
        self.end_headers()
at = (os.environ["SANDBOX_POD_IP"], int(os.environ["PORT"]))
http.server.HTTPServer(at, Handler).serve_forever()
"""


def python(program: str) -> list[str]:
    """Return the command that runs a program text."""
    return [sys.executable, "-S", "-E", "-c", program]


def container(command: list[str], **fields: object) -> dict[str, Any]:
    """Return a container's specification."""
    env = [{"name": "PORT", "value": str(PORT)}]
    return {"name": "c", "image": "none", "command": command, "env": env, **fields}


def pod(name: str, *containers: dict[str, Any], **spec: object) -> dict[str, Any]:
    """Return a pod to be created."""
    return {"metadata": {"name": name}, "spec": {"containers": list(containers), **spec}}


def is_alive(pid: int) -> bool:
    """Say whether a process of this id exists, even as a zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def text_of(path: Path) -> str:
    """Return what is in the file, "" without one."""
    return path.read_text() if path.exists() else ""


async def eventually(condition: Callable[[], object]) -> None:
    """Block until it is true of another process, which sets no event here."""
    while not condition():
        await trio.sleep(LOOK_S)


def is_ready(found: dict[str, Any]) -> bool:
    """Say whether the pod's Ready condition is True."""
    conditions = found.get("status", {}).get("conditions") or []
    return {"Ready": "True"}.items() <= {c["type"]: c["status"] for c in conditions}.items()


def is_running(found: dict[str, Any]) -> bool:
    """Say whether the first container runs."""
    boxes = found.get("status", {}).get("containerStatuses") or []
    return bool(boxes) and "running" in boxes[0]["state"]


@attrs.frozen
class Node:
    """A kubelet and the store that it follows."""

    store: Store
    kubelet: Kubelet
    root: Path
    address_of: Callable[[str], str]

    def create(self, body: dict[str, Any]) -> dict[str, Any]:
        """Create a pod and return it."""
        return self.store.create(PODS, "default", body)

    def get(self, name: str) -> dict[str, Any]:
        """Return the pod."""
        return self.store.get(PODS, "default", name)

    def data(self, name: str) -> Path:
        """Return the pod's data directory."""
        return self.root / "volumes" / "default" / name

    async def wait_pod(
        self, name: str, condition: Callable[[dict[str, Any]], bool]
    ) -> dict[str, Any]:
        """Block until the pod is there and fulfils the condition; return it."""
        while True:
            revision = self.store.revision
            if self.store.has(PODS, "default", name):
                found = self.get(name)
                if condition(found):
                    return found
            await self.store.wait_changed(revision)

    async def wait_gone(self, name: str, uid: str = "") -> None:
        """Block until the pod (this incarnation, if named) is gone."""
        while self.store.has(PODS, "default", name):
            if uid and self.get(name)["metadata"]["uid"] != uid:
                return
            await self.store.wait_changed(self.store.revision)
