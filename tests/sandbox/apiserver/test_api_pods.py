"""Pods and access: what only the stand-in can be asked without a node of its own."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from api_client import Api
from api_rooms import MERGE_PATCH, World

from controller.sandbox.apiserver import (
    CONFIGMAPS,
    PODS,
    Deletion,
    Store,
    metadata_of,
    serve,
)

PATH = "/api/v1/namespaces/default/pods"
TABLE = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"}


def pod(name: str, **spec: object) -> dict[str, Any]:
    """Return a pod to be sent."""
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c"}], **spec}}


async def bound(world: World, name: str = "p") -> dict[str, Any]:
    """Create a pod, put it on a node, and return it."""
    await world.a.request("POST", PATH, pod(name))
    binding = {"metadata": {"name": name}, "target": {"kind": "Node", "name": "n"}}
    reply = await world.a.request("POST", f"{PATH}/{name}/binding", binding)
    assert reply.status == 201, reply.text
    made: dict[str, Any] = (await world.a.request("GET", f"{PATH}/{name}")).json
    return made


async def test_binding_is_once(world: World) -> None:
    """A binding sets spec.nodeName; a second one is 409."""
    made = await bound(world)
    assert made["spec"]["nodeName"] == "n"
    again = {"metadata": {"name": "p"}, "target": {"name": "m"}}
    assert (await world.a.request("POST", f"{PATH}/p/binding", again)).status == 409


async def test_deleted_pod_waits_for_its_kubelet(world: World) -> None:
    """DELETE marks a running pod; it stays until it is deleted with grace 0 and its UID."""
    made = await bound(world)
    marked = await world.a.request("DELETE", f"{PATH}/p", {"gracePeriodSeconds": 7})
    assert marked.status == 200
    assert marked.json["metadata"]["deletionGracePeriodSeconds"] == 7
    held = await world.a.request("GET", f"{PATH}/p")
    assert "deletionTimestamp" in held.json["metadata"]
    final = {"gracePeriodSeconds": 0, "preconditions": {"uid": made["metadata"]["uid"]}}
    assert (await world.a.request("DELETE", f"{PATH}/p", final)).status == 200
    assert (await world.a.request("GET", f"{PATH}/p")).status == 404


async def test_grace_is_the_pods_own_unless_said(world: World) -> None:
    """Without gracePeriodSeconds the pod's own holds; it can be shortened, never lengthened."""
    await bound(world)
    graces = []
    for options in ({}, {"gracePeriodSeconds": 5}, {"gracePeriodSeconds": 50}):
        reply = await world.a.request("DELETE", f"{PATH}/p", options)
        graces.append(reply.json["metadata"]["deletionGracePeriodSeconds"])
    assert graces == [30, 5, 5]


async def test_forced_deletion_is_at_once(world: World) -> None:
    """Grace 0, in the body or in the query, removes a running pod at once."""
    for name, query in (("p", None), ("q", {"gracePeriodSeconds": "0"})):
        await bound(world, name)
        body = None if query else {"gracePeriodSeconds": 0}
        await world.a.request("DELETE", f"{PATH}/{name}", body, query=query)
        assert (await world.a.request("GET", f"{PATH}/{name}")).status == 404


async def test_pod_without_a_node_goes_at_once(world: World) -> None:
    """Nobody runs it, so nobody needs to be waited for."""
    await world.a.request("POST", PATH, pod("p"))
    await world.a.request("DELETE", f"{PATH}/p")
    assert (await world.a.request("GET", f"{PATH}/p")).status == 404


async def test_eviction_is_a_graceful_deletion(world: World) -> None:
    """POST eviction marks the pod; a budget is rehearsed by a fault."""
    await bound(world)
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}}
    assert (await world.a.request("POST", f"{PATH}/p/eviction", body)).status == 201
    held = await world.a.request("GET", f"{PATH}/p")
    assert held.json["metadata"]["deletionGracePeriodSeconds"] == 30


async def test_status_and_spec_are_written_apart(world: World) -> None:
    """/status takes the status only, the object all but the status; only spec moves generation."""
    made = await bound(world)
    body = {"metadata": {"labels": {"l": "1"}}, "status": {"phase": "Running"}}
    status = await world.a.request(
        "PATCH", f"{PATH}/p/status", body, content_type="application/strategic-merge-patch+json"
    )
    assert status.json["status"]["phase"] == "Running"
    assert "labels" not in status.json["metadata"]
    whole = await world.a.request("PATCH", f"{PATH}/p", body, content_type=MERGE_PATCH)
    assert whole.json["metadata"]["labels"] == {"l": "1"}
    reset = {"status": {"phase": "Failed"}}
    kept = await world.a.request("PATCH", f"{PATH}/p", reset, content_type=MERGE_PATCH)
    assert kept.json["status"]["phase"] == "Running"
    assert kept.json["metadata"]["generation"] == made["metadata"]["generation"]


async def test_conditions_are_joined_by_type(world: World) -> None:
    """A strategic merge of one condition leaves the others."""
    await bound(world)
    body = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
    reply = await world.a.request(
        "PATCH", f"{PATH}/p/status", body, content_type="application/strategic-merge-patch+json"
    )
    kinds = [condition["type"] for condition in reply.json["status"]["conditions"]]
    assert kinds == ["PodScheduled", "Ready"]


async def test_pod_spec_is_fixed(world: World) -> None:
    """The command of a running pod cannot be changed, its image can."""
    made = await bound(world)
    made["spec"]["containers"][0]["image"] = "new"
    assert (await world.a.request("PUT", f"{PATH}/p", made)).status == 200
    made = (await world.a.request("GET", f"{PATH}/p")).json
    made["spec"]["containers"][0]["command"] = ["other"]
    assert (await world.a.request("PUT", f"{PATH}/p", made)).status == 422


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("spec.nodeName=n", ["p"]),
        ("spec.nodeName=", ["q"]),
        ("status.phase=Pending,metadata.name!=p", ["q"]),
        ("metadata.namespace=other", []),
    ],
)
async def test_pod_field_selectors(world: World, selector: str, names: list[str]) -> None:
    """Pods can be selected by node and phase, across namespaces."""
    await bound(world)
    await world.a.request("POST", PATH, pod("q"))
    reply = await world.a.request("GET", "/api/v1/pods", query={"fieldSelector": selector})
    assert [item["metadata"]["name"] for item in reply.json["items"]] == names


@pytest.mark.parametrize("token", ["", "nobody's"])
async def test_unknown_token_is_401(world: World, token: str) -> None:
    """With tokens required, none and an unknown one are 401 Unauthorized."""
    reply = await Api(world.url, token).request("GET", PATH)
    assert (reply.status, reply.reason) == (401, "Unauthorized")


async def test_anonymous_user_may_look(nursery: trio.Nursery, limit: None) -> None:
    """With a name for those without a token they are let in; a wrong token still is not."""

    async def start(task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
        await serve(
            Store(),
            "127.0.0.1",
            0,
            tokens={"t": "u"},
            anonymous_user="kubectl",
            task_status=task_status,
        )

    url = await nursery.start(start)
    replies = [await Api(url, token).request("GET", PATH) for token in ("", "t", "x")]
    assert [reply.status for reply in replies] == [200, 200, 401]


async def test_a_defect_is_a_500_and_the_server_lives(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    """An object of a shape that breaks the server's code is a JSON 500; the next call works."""
    body = {"metadata": {"name": "p"}, "spec": {"containers": [1]}}
    await world.a.request("POST", PATH, body)
    update = {"metadata": {"name": "p"}, "spec": {"containers": [2]}}
    reply = await world.a.request("PUT", f"{PATH}/p", update)
    assert (reply.status, reply.reason) == (500, "InternalError")
    assert (await world.a.request("GET", f"{PATH}/p")).status == 200
    assert f"PUT {PATH}/p" in caplog.text


async def test_kubectl_gets_a_table(world: World) -> None:
    """Who asks for a Table gets the columns of a real server, others get the list."""
    await bound(world)
    reply = await world.a.request("GET", PATH, headers=TABLE)
    assert reply.json["kind"] == "Table"
    columns = [column["name"] for column in reply.json["columnDefinitions"]]
    assert columns[:5] == ["Name", "Ready", "Status", "Restarts", "Age"]
    assert reply.json["rows"][0]["cells"][:4] == ["p", "0/1", "Pending", "0"]
    await world.a.request("DELETE", f"{PATH}/p")
    one = await world.a.request("GET", f"{PATH}/p", headers=TABLE)
    assert one.json["rows"][0]["cells"][2] == "Terminating"
    assert (await world.a.request("GET", PATH)).json["kind"] == "PodList"


def test_objects_of_the_store_are_copies() -> None:
    """Nobody can change what is stored without writing it."""
    store = Store()
    made = store.create(CONFIGMAPS, "default", {"metadata": {"name": "x"}, "data": {"a": "1"}})
    made["data"]["a"] = "2"
    metadata_of(store.get(CONFIGMAPS, "default", "x"))["name"] = "y"
    assert store.get(CONFIGMAPS, "default", "x")["data"] == {"a": "1"}
    assert store.get(CONFIGMAPS, "default", "x")["metadata"]["name"] == "x"


def test_window_is_bounded() -> None:
    """Changes beyond the window are forgotten, and a late reader is told 410, not fed a gap."""
    store = Store(window_max=3)
    cursor = store.watch(CONFIGMAPS, since=store.revision)
    early = store.watch(CONFIGMAPS, since=store.revision)
    for number in range(3):
        store.create(CONFIGMAPS, "default", {"metadata": {"name": f"x{number}"}})
    assert [event.type for event in cursor.take_nowait()] == ["ADDED"] * 3
    store.create(PODS, "default", pod("p"))
    with pytest.raises(Exception, match="410 Expired"):
        early.take_nowait()
    assert cursor.take_nowait() == []


def test_delete_in_process_names_the_incarnation() -> None:
    """Deletion by a former UID is refused in-process as over HTTP."""
    store = Store()
    store.create(CONFIGMAPS, "default", {"metadata": {"name": "x"}})
    with pytest.raises(Exception, match="409 Conflict"):
        store.delete(CONFIGMAPS, "default", "x", Deletion(uid="former"))
    _, gone = store.delete(CONFIGMAPS, "default", "x")
    assert gone


async def test_scale_is_a_view_of_replicas(world: World) -> None:
    """GET, PUT and PATCH of scale read and write spec.replicas; a stale one is 409."""
    path = "/apis/apps/v1/namespaces/default/statefulsets"
    body = {"metadata": {"name": "m"}, "spec": {"selector": {"matchLabels": {"app": "m"}}}}
    await world.a.request("POST", path, body)
    view = (await world.a.request("GET", f"{path}/m/scale")).json
    assert (view["kind"], view["spec"], view["status"]["selector"]) == (
        "Scale",
        {"replicas": 1},
        "app=m",
    )
    view["spec"]["replicas"] = 2
    assert (await world.a.request("PUT", f"{path}/m/scale", view)).status == 200
    assert (await world.a.request("PUT", f"{path}/m/scale", view)).status == 409
    patch = {"spec": {"replicas": 3}}
    await world.a.request("PATCH", f"{path}/m/scale", patch, content_type=MERGE_PATCH)
    below = {"spec": {"replicas": -1}}
    refused = await world.a.request("PATCH", f"{path}/m/scale", below, content_type=MERGE_PATCH)
    assert refused.status == 422
    whole = (await world.a.request("GET", f"{path}/m")).json
    assert (whole["spec"]["replicas"], whole["metadata"]["generation"]) == (3, 3)
    assert whole["spec"]["updateStrategy"]["type"] == "RollingUpdate"
