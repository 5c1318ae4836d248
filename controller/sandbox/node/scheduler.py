"""Which node a pod goes to: the one with the fewest pods of the same owner that takes pods.

Promise: a cordoned node gets none. Nothing else of a scheduler is here: no resources, no affinity,
no taints.
"""

from __future__ import annotations

import trio

from ..apiserver import NODES, PODS, Object, name_of, uid_of
from ..kubelet.mirror import Mirror
from ..kubelet.ports import ClusterApi


class Scheduler:
    """Two mirrors, and what was promised since they were last looked at."""

    def __init__(self, api: ClusterApi, nodes: tuple[str, ...]) -> None:
        self._names = nodes
        self._placed: dict[str, str] = {}  # pod UID -> node, until the mirror shows it
        self._nodes = Mirror(api, NODES, lambda: None)
        self._pods = Mirror(api, PODS, lambda: None)

    async def run(self, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Follow until cancelled; started once both lists are in."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._nodes.run)
            await nursery.start(self._pods.run)
            task_status.started()

    def choose(self, pod: Object) -> str:
        """The node for a pod, "" while none takes it."""
        present = {name_of(node): node for node in self._nodes.objects.values()}
        open_names = [
            name
            for name in self._names
            if name in present and not present[name]["spec"].get("unschedulable")
        ]
        if not open_names:
            return ""
        chosen = min(open_names, key=lambda name: self._load(name, _owner_of(pod)))
        self._placed[uid_of(pod)] = chosen
        return chosen

    def _load(self, node: str, owner: str) -> tuple[int, int]:
        """Pods of the same owner on a node, and pods of anybody."""
        here = [
            other
            for other in self._pods.objects.values()
            if node == (other["spec"].get("nodeName") or self._placed.get(uid_of(other)))
        ]
        return sum(_owner_of(other) == owner for other in here), len(here)


def _owner_of(pod: Object) -> str:
    owners = pod["metadata"].get("ownerReferences") or [{}]
    return str(owners[0].get("uid", ""))
