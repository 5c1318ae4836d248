"""The StatefulSet controller, and of the garbage collector what it needs.

Promise: `steps_owed` is a plain function from what is there to what is to be done, so a lost step
is owed again; a pod is deleted only by its UID; a name is reused only when its former pod is gone.
Parallel and OrderedReady, scaling, rolling updates (one at a time, highest ordinal first, with
partition) and OnDelete are done; volume claims are not objects here: data stay by pod name.
"""

from __future__ import annotations

import hashlib
import json
from typing import TypeAlias

import attrs
import trio

from ..apiserver import PODS, STATEFULSETS, ApiError, Object, name_of, namespace_of, uid_of
from .mirror import Mirror
from .ports import ClusterApi, is_passing

RETRY_S = 0.2  # after an API that refuses
REVISION_LABEL = "controller-revision-hash"


@attrs.frozen
class CreatePod:
    """This pod is missing."""

    body: Object


@attrs.frozen
class DeletePod:
    """This incarnation is one too many, of an old revision, over, or an orphan."""

    pod: Object
    why: str


Step: TypeAlias = CreatePod | DeletePod


def revision_of_template(workload: Object) -> str:
    """Return the name of what the template says now."""
    text = json.dumps(workload["spec"]["template"], sort_keys=True)
    return f"{name_of(workload)}-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def pod_body(workload: Object, ordinal: int) -> Object:
    """Return the pod of this ordinal as it is to be created."""
    template, name = workload["spec"]["template"], f"{name_of(workload)}-{ordinal}"
    meta = template.get("metadata") or {}
    labels = {
        **(meta.get("labels") or {}),
        REVISION_LABEL: revision_of_template(workload),
        "statefulset.kubernetes.io/pod-name": name,
        "apps.kubernetes.io/pod-index": str(ordinal),
    }
    owner = {
        "apiVersion": STATEFULSETS.api_version,
        "kind": STATEFULSETS.name,
        "name": name_of(workload),
        "uid": uid_of(workload),
        "controller": True,
        "blockOwnerDeletion": True,
    }
    spec = {**template["spec"], "hostname": name}
    if service := workload["spec"].get("serviceName"):
        spec["subdomain"] = service
    return {
        "metadata": {
            "name": name,
            "labels": labels,
            "annotations": dict(meta.get("annotations") or {}),
            "ownerReferences": [owner],
        },
        "spec": spec,
    }


def is_ready(pod: Object | None) -> bool:
    """Say whether the pod serves and is not about to go."""
    return pod is not None and not _is_going(pod) and _serves(pod)


def _serves(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions") or []
    return any((entry["type"], entry["status"]) == ("Ready", "True") for entry in conditions)


def owner_of(pod: Object) -> str:
    """Return the UID of the StatefulSet that the pod belongs to, or ""."""
    for owner in pod["metadata"].get("ownerReferences") or []:
        if owner.get("kind") == STATEFULSETS.name:
            return str(owner["uid"])
    return ""


def _is_going(pod: Object) -> bool:
    return "deletionTimestamp" in pod["metadata"]


def _ordinal(pod: Object) -> int:
    return int(name_of(pod).rpartition("-")[2])


def steps_owed(workload: Object, owned: list[Object]) -> list[Step]:
    """Return what is to be done for one StatefulSet whose pods are `owned`."""
    if _is_going(workload):
        return []
    count = int(workload["spec"]["replicas"])
    by_ordinal = {_ordinal(pod): pod for pod in owned}
    ordered = workload["spec"].get("podManagementPolicy") != "Parallel"
    steps: list[Step] = []
    for ordinal in range(count):
        pod = by_ordinal.get(ordinal)
        if pod is None:
            steps.append(CreatePod(pod_body(workload, ordinal)))
        elif not _is_going(pod) and _phase(pod) in ("Failed", "Succeeded"):
            steps.append(DeletePod(pod, "it is over"))
        if ordered and not is_ready(pod):
            return steps[:1]
    extra = [
        by_ordinal[ordinal] for ordinal in sorted(by_ordinal, reverse=True) if ordinal >= count
    ]
    steps += [DeletePod(pod, "scaled down") for pod in extra if not _is_going(pod)]
    if ordered and extra:
        return [step for step in steps if not any(_is_going(pod) for pod in extra)][:1]
    return steps or _update_owed(workload, by_ordinal, count)


def _phase(pod: Object) -> str:
    return str(pod.get("status", {}).get("phase", ""))


def _update_owed(workload: Object, by_ordinal: dict[int, Object], count: int) -> list[Step]:
    """Return the next deletion of a rolling update: one pod, and only if all others serve."""
    strategy = workload["spec"].get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        return []
    partition = int((strategy.get("rollingUpdate") or {}).get("partition", 0))
    revision = revision_of_template(workload)
    for ordinal in range(count - 1, partition - 1, -1):
        pod = by_ordinal[ordinal]
        if pod["metadata"].get("labels", {}).get(REVISION_LABEL) != revision:
            return [] if _is_going(pod) else [DeletePod(pod, "of an old revision")]
        if not is_ready(pod):
            return []
    return []


def orphans(pods: list[Object], owners: set[str]) -> list[Step]:
    """Return the deletions of pods whose StatefulSet is gone."""
    return [
        DeletePod(pod, "its owner is gone")
        for pod in pods
        if owner_of(pod) and owner_of(pod) not in owners and not _is_going(pod)
    ]


def status_of(workload: Object, owned: list[Object]) -> Object:
    """Return the StatefulSet's status."""
    revision = revision_of_template(workload)
    updated = [
        pod for pod in owned if pod["metadata"].get("labels", {}).get(REVISION_LABEL) == revision
    ]
    ready = sum(_serves(pod) for pod in owned)  # a real one counts those about to go as well
    return {
        "observedGeneration": workload["metadata"].get("generation", 1),
        "replicas": len(owned),
        "readyReplicas": ready,
        "availableReplicas": ready,
        "currentReplicas": len(updated),
        "updatedReplicas": len(updated),
        "currentRevision": revision,
        "updateRevision": revision,
        "collisionCount": 0,
    }


class StatefulSetController:
    """Does what is owed, again and again."""

    def __init__(self, api: ClusterApi) -> None:
        self._api = api
        self._changed = trio.Event()
        self._workloads = Mirror(api, STATEFULSETS, self._touch)
        self._pods = Mirror(api, PODS, self._touch)

    def _touch(self) -> None:
        self._changed.set()

    async def run(self, task_status: trio.TaskStatus[None]) -> None:
        """Follow StatefulSets and pods until cancelled."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._workloads.run)
            await nursery.start(self._pods.run)
            task_status.started()
            while True:
                await self._changed.wait()
                self._changed = trio.Event()
                await self._reconcile()

    async def _reconcile(self) -> None:
        pods = list(self._pods.objects.values())
        workloads = list(self._workloads.objects.values())
        for workload in workloads:
            owned = [pod for pod in pods if owner_of(pod) == uid_of(workload)]
            for step in steps_owed(workload, owned):
                await self._do(namespace_of(workload), step)
            await self._write_status(workload, owned)
        for step in orphans(pods, {uid_of(workload) for workload in workloads}):
            if isinstance(step, DeletePod):
                await self._do(namespace_of(step.pod), step)

    async def _do(self, namespace: str, step: Step) -> None:
        try:
            if isinstance(step, CreatePod):
                await self._api.create(PODS, namespace, step.body)
            else:
                name, uid = name_of(step.pod), uid_of(step.pod)
                await self._api.delete(PODS, namespace, name, uid=uid)
        except ApiError as error:
            await self._forgive(error)

    async def _write_status(self, workload: Object, owned: list[Object]) -> None:
        try:
            await self._api.write_status(STATEFULSETS, workload, status_of(workload, owned))
        except ApiError as error:
            await self._forgive(error)

    async def _forgive(self, error: ApiError) -> None:
        """Do nothing if the next event tells more; else pause and look again."""
        if not is_passing(error):
            await trio.sleep(RETRY_S)
            self._touch()


async def run_statefulset_controller(
    api: ClusterApi, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Keep every StatefulSet's pods as it wants them, until cancelled.

    Cancellation: the pods stay as they are.
    """
    await StatefulSetController(api).run(task_status)
