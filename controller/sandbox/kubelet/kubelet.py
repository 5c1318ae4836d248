"""Runs every pod of the API on this machine: scheduler, node and kubelet in one.

Promise: each pod incarnation has one worker from when it is first seen until nothing of it is
left; workers are derived from the list of pods, so a missed event costs nothing. When the kubelet
is cancelled, no process that it started outlives it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import trio

from ..apiserver import NODES, PODS, ApiError, Object, name_of, namespace_of, uid_of
from .mirror import Mirror
from .pod import PodWorker, Settings
from .ports import ClusterApi, is_passing


class NotRunning(LookupError):
    """No process of that pod is there to be signalled."""


class Kubelet:
    """The node. Owned by one nursery; see `run_kubelet`."""

    def __init__(self, api: ClusterApi, settings: Settings, nursery: trio.Nursery) -> None:
        self._api = api
        self._settings = settings
        # The workers' nursery: as many tasks as pods, and they end with the kubelet.
        self._nursery = nursery
        self._workers: dict[str, PodWorker] = {}
        self._newest: dict[tuple[str, str], PodWorker] = {}
        self._mirror = Mirror(api, PODS, self._reconcile)

    def pid(self, pod_name: str, container: str | None = None) -> int:
        """Return the process id of a pod's (first) container.

        Raises:
            NotRunning: It has none at the moment.
        """
        return self._process(pod_name, container).pid

    def signal(self, pod_name: str, signum: int, container: str | None = None) -> None:
        """Send a signal to the process of a pod's (first) container.

        Raises:
            NotRunning: It has none at the moment.
        """
        self._process(pod_name, container).send_signal(signum)

    def log_path(self, pod_name: str, container: str | None = None) -> Path:
        """Return the file with the output of a pod's (first) container.

        Raises:
            NotRunning: No pod of that name was ever seen.
        """
        worker = self._worker(pod_name)
        return self._settings.log_of(worker.pod, container or worker.boxes[0].name)

    def _worker(self, pod_name: str) -> PodWorker:
        for (_, name), worker in self._newest.items():
            if name == pod_name:
                return worker
        raise NotRunning(f"no pod {pod_name}")

    def _process(self, pod_name: str, container: str | None) -> trio.Process:
        worker = self._worker(pod_name)
        for box in worker.boxes:
            process = box.process
            if container in (None, box.name) and process and process.returncode is None:
                return process
        raise NotRunning(f"pod {pod_name} has no running process")

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        """Follow the pods until cancelled; started once every present pod has its worker."""
        for name in self._settings.node_names:
            try:
                await self._api.create(NODES, "", node_object(name))
            except ApiError as error:
                if not is_passing(error):
                    raise
        await self._mirror.run(task_status)

    def _reconcile(self) -> None:
        present = {uid_of(pod): pod for pod in self._mirror.objects.values() if self._is_ours(pod)}
        for uid, worker in list(self._workers.items()):
            if uid not in present:
                worker.removed()
                if worker.ended.is_set():
                    del self._workers[uid]
        for uid, pod in present.items():
            worker = self._workers.get(uid) or self._begin(pod)
            worker.pod = pod
            if "deletionTimestamp" in pod["metadata"]:
                worker.end_within(pod["metadata"].get("deletionGracePeriodSeconds", 0))

    def _is_ours(self, pod: Object) -> bool:
        return pod["spec"].get("nodeName", "") in ("", *self._settings.node_names)

    def _begin(self, pod: Object) -> PodWorker:
        key = (namespace_of(pod), name_of(pod))
        worker = PodWorker(pod, self._api, self._settings, self._newest.get(key))
        self._workers[uid_of(pod)] = self._newest[key] = worker
        self._nursery.start_soon(self._run_worker, worker)
        return worker

    async def _run_worker(self, worker: PodWorker) -> None:
        await worker.run()
        self._reconcile()


def node_object(name: str) -> Object:
    """Return the Node that all pods are on."""
    condition = {"type": "Ready", "status": "True", "reason": "Sandbox", "message": "one machine"}
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
        "spec": {},
        "status": {"conditions": [condition]},
    }


async def run_kubelet(
    api: ClusterApi,
    root: Path,
    *,
    address_of: Callable[[str], str],
    env: Mapping[str, str] | None = None,
    restart_delay_s: float = 1.0,
    setup_delay_s: float = 1.0,
    probe_period_s: float = 0.5,
    task_status: trio.TaskStatus[Kubelet] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run all pods as processes until cancelled. `task_status` gets the `Kubelet`.

    Args:
        api: The API server; `InProcess(store)` for the stand-in.
        root: Directory for data and logs; nothing is written elsewhere.
        address_of: Gives the loopback address of a pod by its name.
        env: What every container's environment begins with; None takes that of this process.
        restart_delay_s: Pause before an ended container is started again.
        setup_delay_s: Pause before a new pod has an address and starts its first container.
        probe_period_s: Time between readiness probes.

    Cancellation: every child gets SIGTERM and, 2 s later, SIGKILL, before this returns.
    """
    settings = Settings(
        root=root,
        address_of=address_of,
        env=dict(os.environ if env is None else env),
        restart_delay_s=restart_delay_s,
        setup_delay_s=setup_delay_s,
        probe_period_s=probe_period_s,
    )
    await follow_pods(api, settings, task_status=task_status)


async def follow_pods(
    api: ClusterApi,
    settings: Settings,
    *,
    task_status: trio.TaskStatus[Kubelet] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Run all pods with these settings until cancelled; see `run_kubelet`."""
    async with trio.open_nursery() as nursery:
        kubelet = Kubelet(api, settings, nursery)
        await nursery.start(kubelet.run)
        task_status.started(kubelet)
