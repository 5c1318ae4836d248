"""A StatefulSet's pods: as many as wanted, under the same names, with the same data."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import trio
from node_rooms import SLEEP, Node, container, is_ready

from controller.sandbox.apiserver import PODS, STATEFULSETS, Deletion, metadata_of
from controller.sandbox.kubelet import InProcess, LoopbackAddresses, run_statefulset_controller
from controller.sandbox.kubelet.statefulset import (
    REVISION_LABEL,
    CreatePod,
    DeletePod,
    pod_body,
    revision_of_template,
    steps_owed,
)


def workload(replicas: int = 3, command: list[str] = SLEEP, **spec: object) -> dict[str, Any]:
    """Return a StatefulSet called m."""
    labels = {"app": "m"}
    template = {
        "metadata": {"labels": labels},
        "spec": {"containers": [container(command)], "terminationGracePeriodSeconds": 1},
    }
    return {
        "metadata": {"name": "m", "namespace": "default", "uid": "u"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "podManagementPolicy": "Parallel",
            "serviceName": "members",
            "template": template,
            **spec,
        },
    }


def member(owner: dict[str, Any], ordinal: int, *, ready: bool = True, **meta: object) -> Any:
    """Return a pod of the set as it would be found."""
    body = pod_body(owner, ordinal)
    body["metadata"].update(meta)
    condition = {"type": "Ready", "status": str(ready)}
    return {**body, "status": {"phase": "Running", "conditions": [condition]}}


def words(steps: list[CreatePod | DeletePod]) -> list[str]:
    """Return steps as "+name" and "-name"."""
    return [
        f"+{step.body['metadata']['name']}"
        if isinstance(step, CreatePod)
        else f"-{step.pod['metadata']['name']}"
        for step in steps
    ]


def test_pods_have_what_a_real_controller_gives_them() -> None:
    """Labels of the template, index, name, revision, owner, hostname and subdomain."""
    body = pod_body(workload(), 2)
    labels = body["metadata"]["labels"]
    assert (labels["app"], labels["apps.kubernetes.io/pod-index"]) == ("m", "2")
    assert labels["statefulset.kubernetes.io/pod-name"] == "m-2"
    assert labels[REVISION_LABEL] == revision_of_template(workload())
    assert body["metadata"]["ownerReferences"][0]["controller"] is True
    assert (body["spec"]["hostname"], body["spec"]["subdomain"]) == ("m-2", "members")


NOW = "2026-11-21T00:00:00Z"
OLD = {"labels": {REVISION_LABEL: "old"}}
ORDERED = {"podManagementPolicy": "OrderedReady"}


@pytest.mark.parametrize(
    ("spec", "there", "steps"),
    [
        ({}, {}, ["+m-0", "+m-1", "+m-2"]),
        ({}, {0: {}, 2: {"ready": False}}, ["+m-1"]),
        ({}, {0: {}, 1: {}, 2: {}}, []),
        ({}, {0: {"deletionTimestamp": NOW}, 1: {}, 2: {}}, []),
        ({"replicas": 1}, {0: {}, 1: {}, 2: {}}, ["-m-2", "-m-1"]),
        (ORDERED, {}, ["+m-0"]),
        (ORDERED, {0: {"ready": False}}, []),
        (ORDERED, {0: {}}, ["+m-1"]),
        ({**ORDERED, "replicas": 1}, {0: {}, 1: {}, 2: {}}, ["-m-2"]),
        ({**ORDERED, "replicas": 1}, {0: {}, 1: {}, 2: {"deletionTimestamp": NOW}}, []),
        ({}, {0: OLD, 1: OLD, 2: OLD}, ["-m-2"]),
        ({}, {0: OLD, 1: OLD, 2: {"ready": False}}, []),
        ({}, {0: OLD, 1: OLD, 2: {}}, ["-m-1"]),
        ({"updateStrategy": {"type": "OnDelete"}}, {0: OLD, 1: OLD, 2: OLD}, []),
        ({"updateStrategy": {"rollingUpdate": {"partition": 2}}}, {0: OLD, 1: OLD, 2: {}}, []),
    ],
)
def test_steps_owed(spec: dict[str, Any], there: dict[int, Any], steps: list[str]) -> None:
    """What is owed follows from what is wanted and what is there."""
    owner = workload(**spec)
    owned = [member(owner, ordinal, **fields) for ordinal, fields in there.items()]
    assert words(steps_owed(owner, owned)) == steps


@pytest.fixture
async def controlled(node: Node, nursery: trio.Nursery) -> Node:
    await nursery.start(partial(run_statefulset_controller, InProcess(node.store)))
    return node


async def wait_status(node: Node, **wanted: int) -> None:
    """Block until the StatefulSet's status says so."""
    while True:
        revision = node.store.revision
        status = node.store.get(STATEFULSETS, "default", "m")["status"]
        if wanted.items() <= status.items():
            return
        await node.store.wait_changed(revision)


def change(node: Node, **spec: object) -> None:
    """Change the StatefulSet's specification."""
    node.store.patch(
        STATEFULSETS, "default", "m", lambda old: {**old, "spec": {**old["spec"], **spec}}
    )


def created(node: Node, **fields: Any) -> None:
    """Create the StatefulSet."""
    body = workload(**fields)
    metadata_of(body).pop("uid")
    node.store.create(STATEFULSETS, "default", body)


@pytest.mark.parametrize("forced", [False, True])
async def test_deleted_pod_comes_back_as_another_with_its_data(
    controlled: Node, forced: bool
) -> None:
    """The same name gets a new UID, the same address and the data of its predecessor."""
    created(controlled)
    await wait_status(controlled, readyReplicas=3)
    before = controlled.get("m-1")
    (controlled.data("m-1") / "kept").write_text("kept")
    how = Deletion(grace_s=0) if forced else Deletion()
    controlled.store.delete(PODS, "default", "m-1", how)
    await controlled.wait_gone("m-1", before["metadata"]["uid"])
    after = await controlled.wait_pod("m-1", is_ready)
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert after["status"]["podIP"] == before["status"]["podIP"]
    assert (controlled.data("m-1") / "kept").read_text() == "kept"
    addresses = [controlled.get(f"m-{ordinal}")["status"]["podIP"] for ordinal in range(3)]
    assert len(set(addresses)) == 3


async def test_scaling_and_removal(controlled: Node) -> None:
    """Fewer replicas end the highest ordinals; without the StatefulSet all pods go."""
    created(controlled)
    await wait_status(controlled, readyReplicas=3)
    change(controlled, replicas=1)
    await wait_status(controlled, replicas=1)
    assert controlled.store.has(PODS, "default", "m-0")
    controlled.store.delete(STATEFULSETS, "default", "m")
    await controlled.wait_gone("m-0")


async def test_rolling_update_takes_one_at_a_time(controlled: Node) -> None:
    """A new template replaces all pods, highest first, never with two out at once."""
    created(controlled)
    await wait_status(controlled, readyReplicas=3)
    cursor = controlled.store.watch(PODS, since=controlled.store.revision)
    change(controlled, template=workload(command=["sleep", "61"])["spec"]["template"])
    await wait_status(controlled, observedGeneration=2, updatedReplicas=3, readyReplicas=3)
    ended, out, most_out = [], set(), 0
    for event in cursor.take_nowait():
        name = event.object["metadata"]["name"]
        if event.type == "DELETED":
            ended.append(name)
        if event.type != "DELETED" and is_ready(event.object) and not is_going(event.object):
            out.discard(name)
        else:
            out.add(name)
        most_out = max(most_out, len(out))
    assert ended == ["m-2", "m-1", "m-0"]
    assert most_out == 1


def is_going(found: dict[str, Any]) -> bool:
    """Say whether the pod is being deleted."""
    return "deletionTimestamp" in found["metadata"]


def test_addresses_are_stable_and_apart() -> None:
    """A name keeps its address; sets lie in blocks of their own; what does not fit is refused."""
    address_of = LoopbackAddresses("127.9.8")
    names = ["m-0", "m-1", "c-0", "web", "m-0"]
    assert [address_of(name) for name in names] == [
        "127.9.8.10",
        "127.9.8.11",
        "127.9.8.30",
        "127.9.8.50",
        "127.9.8.10",
    ]
    with pytest.raises(OverflowError):
        address_of("m-20")
    with pytest.raises(ValueError, match="loopback"):
        LoopbackAddresses("10.0.0")
