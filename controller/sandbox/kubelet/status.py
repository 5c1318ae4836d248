"""A pod's status, composed from what is known of its containers.

Promise: plain functions; the same knowledge gives the same status, so that an unchanged pod is a
write without effect. The time of a condition is the time it last changed.
"""

from __future__ import annotations

import attrs

from ..apiserver import Object
from .containers import Container, Running, Terminated, Waiting

RUNTIME = "process"


@attrs.frozen
class Seen:
    """Everything that a status is made of.

    Args:
        now: Wall time, RFC 3339, given to conditions that change.
        previous: The conditions as last written.
        is_over: All containers have ended and none will be started again.
    """

    address: str
    started_at: str
    now: str
    initialized: bool
    is_over: bool
    containers: tuple[Container, ...]
    init_containers: tuple[Container, ...]
    previous: tuple[Object, ...]


def compose(seen: Seen) -> Object:
    """Return the status to be written."""
    ready = bool(seen.containers) and all(container.ready for container in seen.containers)
    truths = {
        "PodScheduled": True,
        "Initialized": seen.initialized,
        "ContainersReady": ready,
        "Ready": ready,
    }
    status: Object = {
        "phase": phase(seen),
        "hostIP": "127.0.0.1",
        "hostIPs": [{"ip": "127.0.0.1"}],
        "podIP": seen.address,
        "podIPs": [{"ip": seen.address}],
        "startTime": seen.started_at,
        "conditions": [_condition(name, truth, seen) for name, truth in truths.items()],
        "containerStatuses": [container_status(container) for container in seen.containers],
    }
    if seen.init_containers:
        status["initContainerStatuses"] = [container_status(box) for box in seen.init_containers]
    return status


def phase(seen: Seen) -> str:
    """Return the pod phase."""
    if seen.is_over:
        states = [box.state for box in (*seen.init_containers, *seen.containers)]
        codes = [state.exit_code for state in states if isinstance(state, Terminated)]
        return "Failed" if any(codes) else "Succeeded"
    begun = any(
        not isinstance(container.state, Waiting) or container.last is not None
        for container in seen.containers
    )
    return "Running" if begun else "Pending"


def container_status(container: Container) -> Object:
    """Return the entry of `containerStatuses`."""
    running = isinstance(container.state, Running)
    pid = container.state.pid if isinstance(container.state, Running) else 0
    return {
        "name": container.name,
        "image": str(container.spec.get("image", "none")),
        "imageID": "none",
        # As runtimes name their containers; the process is what there is of one here.
        **({"containerID": f"{RUNTIME}://{pid}"} if pid else {}),
        "ready": container.ready,
        "started": running and container.started,
        "restartCount": container.restart_count,
        "state": _state(container.state),
        "lastState": _state(container.last) if container.last else {},
    }


def _state(state: Waiting | Running | Terminated) -> Object:
    if isinstance(state, Waiting):
        text = {"message": state.message} if state.message else {}
        return {"waiting": {"reason": state.reason, **text}}
    if isinstance(state, Running):
        return {"running": {"startedAt": state.started_at}}
    text = {"message": state.message} if state.message else {}
    return {
        "terminated": {
            "exitCode": state.exit_code,
            "reason": state.reason,
            "startedAt": state.started_at,
            "finishedAt": state.finished_at,
            **text,
        }
    }


def _condition(name: str, truth: bool, seen: Seen) -> Object:
    wanted = "True" if truth else "False"
    for condition in seen.previous:
        if condition["type"] == name and condition["status"] == wanted:
            return condition
    return {"type": name, "status": wanted, "lastTransitionTime": seen.now}
