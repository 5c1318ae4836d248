"""What an API server must do for a controller, whoever it is.

Runs against the stand-in always, and against a real API server too when the environment variable
MEMGRAPH_CONTROLLER_KUBECONFIG names its kubeconfig.
"""

from __future__ import annotations

from typing import Any

import pytest
from api_rooms import (
    JSON_PATCH,
    LEASES,
    MERGE_PATCH,
    Room,
    config,
    create,
    lease,
    list_revision,
    put,
    put_lease,
)

# --- the server itself --------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/livez"])
async def test_health(room: Room, path: str) -> None:
    """Health paths say "ok"."""
    reply = await room.api.request("GET", path)
    assert (reply.status, reply.text) == (200, "ok")


async def test_discovery_lists_what_the_controller_uses(room: Room) -> None:
    """Discovery names each resource with its kind and that it can be watched."""
    core = await room.api.request("GET", "/api/v1")
    found = {entry["name"]: entry for entry in core.json["resources"]}
    assert found["configmaps"]["kind"] == "ConfigMap"
    assert found["pods"]["namespaced"] is True
    assert "watch" in found["pods"]["verbs"]
    assert "pods/status" in found
    groups = await room.api.request("GET", "/apis")
    assert {"apps", "coordination.k8s.io"} <= {group["name"] for group in groups.json["groups"]}
    leases = await room.api.request("GET", f"/apis/{LEASES}")
    assert "leases" in {entry["name"] for entry in leases.json["resources"]}
    assert (await room.api.request("GET", "/version")).json["major"] == "1"


def paged(number: int) -> dict[str, Any]:
    """A ConfigMap of a list."""
    return {"metadata": {"name": f"page-{number}", "labels": {"of": "pages"}}}


async def test_a_list_comes_in_pages(room: Room) -> None:
    """Each page has at most as many objects as asked for, a token that leads to the next, and the
    revision of the first; what changes meanwhile is not in it. Without a token it is the last."""
    for number in range(5):
        await create(room, paged(number))
    query: dict[str, object] = {"labelSelector": "of=pages", "limit": "2"}
    path, names, revisions = room.path("configmaps"), list[str](), set[str]()
    for size in (2, 2, 1):
        page = (await room.api.request("GET", path, query=query)).json
        assert len(page["items"]) == size
        names += [item["metadata"]["name"] for item in page["items"]]
        revisions.add(page["metadata"]["resourceVersion"])
        query["continue"] = page["metadata"].get("continue", "")
        if len(names) == 2:
            await create(room, paged(9))
    assert query["continue"] == ""
    assert names == [f"page-{number}" for number in range(5)]
    assert len(revisions) == 1


@pytest.mark.parametrize("path", ["/api/v1/nonsense", "/apis/no.such.group/v1/things"])
async def test_unknown_resource_is_404(room: Room, path: str) -> None:
    """A resource type that does not exist is 404."""
    assert (await room.api.request("GET", path)).status == 404


async def test_wrong_method_is_405(room: Room) -> None:
    """A method that a resource does not have is 405."""
    reply = await room.api.request("PUT", room.path("configmaps"), config("x"))
    assert (reply.status, reply.reason) == (405, "MethodNotAllowed")


# --- objects ------------------------------------------------------------------------------


async def test_created_object_gets_its_server_fields(room: Room) -> None:
    """A created object has uid, creationTimestamp, namespace and resourceVersion."""
    made = await create(room, config("x", a="1"))
    meta = made["metadata"]
    assert meta["uid"]
    assert meta["resourceVersion"]
    assert meta["creationTimestamp"].endswith("Z")
    assert meta["namespace"] == room.namespace
    assert made["data"] == {"a": "1"}
    read = await room.api.request("GET", room.path("configmaps", "x"))
    assert read.json["metadata"]["uid"] == meta["uid"]
    assert read.revision == meta["resourceVersion"]


async def test_second_creation_is_already_exists(room: Room) -> None:
    """A taken name is 409 AlreadyExists, which is not Conflict."""
    await create(room, config("x"))
    reply = await room.api.request("POST", room.path("configmaps"), config("x"))
    assert (reply.status, reply.reason) == (409, "AlreadyExists")
    assert reply.json["message"] == 'configmaps "x" already exists'


async def test_missing_object_is_404_with_its_name(room: Room) -> None:
    """GET, PUT, PATCH and DELETE of a missing ConfigMap are 404 NotFound, named in details."""
    path = room.path("configmaps", "gone")
    replies = [
        await room.api.request("GET", path),
        await room.api.request("PUT", path, config("gone")),
        await room.api.request("PATCH", path, {}, content_type=MERGE_PATCH),
        await room.api.request("DELETE", path),
    ]
    assert [(reply.status, reply.reason) for reply in replies] == [(404, "NotFound")] * 4
    assert replies[0].json["details"]["name"] == "gone"
    assert replies[0].json["message"] == 'configmaps "gone" not found'


async def test_stale_put_is_a_conflict_and_changes_nothing(room: Room) -> None:
    """Of two writers with the same resourceVersion, the second gets 409 Conflict."""
    made = await create(room, config("x", a="1"))
    won = await put(room, {**made, "data": {"a": "2"}})
    lost = await put(room, {**made, "data": {"a": "3"}})
    assert (won.status, lost.status, lost.reason) == (200, 409, "Conflict")
    assert lost.json["message"] == (
        'Operation cannot be fulfilled on configmaps "x": the object has been modified; '
        "please apply your changes to the latest version and try again"
    )
    read = await room.api.request("GET", room.path("configmaps", "x"))
    assert read.json["data"] == {"a": "2"}


async def test_put_of_the_future_is_a_conflict(room: Room) -> None:
    """A resourceVersion that has not happened yet does not match either."""
    made = await create(room, config("x"))
    made["metadata"]["resourceVersion"] = str(int(made["metadata"]["resourceVersion"]) + 99)
    assert (await put(room, made)).status == 409


async def test_put_with_garbage_revision_is_refused(room: Room) -> None:
    """A resourceVersion that is no number is refused, and not as a conflict."""
    made = await create(room, config("x"))
    made["metadata"]["resourceVersion"] = "abc"
    assert (await put(room, made)).status in (400, 500)


async def test_put_without_revision_is_unconditional(room: Room) -> None:
    """A ConfigMap without resourceVersion overwrites whatever is there."""
    await create(room, config("x", a="1"))
    reply = await put(room, config("x", b="2"))
    assert (reply.status, reply.json["data"]) == (200, {"b": "2"})


async def test_put_for_another_incarnation_is_a_conflict(room: Room) -> None:
    """The UID of a former incarnation does not match."""
    made = await create(room, config("x"))
    made["metadata"]["uid"] = "00000000-0000-0000-0000-000000000000"
    reply = await put(room, made)
    assert (reply.status, reply.reason) == (409, "Conflict")
    assert "Precondition failed: UID in precondition" in reply.json["message"]


async def test_write_that_changes_nothing_keeps_the_revision(room: Room) -> None:
    """PUT and PATCH without effect do not move resourceVersion."""
    made = await create(room, config("x", a="1"))
    same = await put(room, made)
    patched = await room.api.request(
        "PATCH", room.path("configmaps", "x"), {"data": {"a": "1"}}, content_type=MERGE_PATCH
    )
    assert same.revision == patched.revision == made["metadata"]["resourceVersion"]


async def test_revisions_grow(room: Room) -> None:
    """Each effect has a larger revision, and a list is not older than what it holds."""
    first = int((await create(room, config("x")))["metadata"]["resourceVersion"])
    second = int((await create(room, config("y")))["metadata"]["resourceVersion"])
    assert first < second <= int(await list_revision(room))


@pytest.mark.parametrize("name", ["UPPER", "under_score", "-dash", "a" * 254])
async def test_bad_names_are_refused(room: Room, name: str) -> None:
    """A name that is no DNS subdomain is 422."""
    reply = await room.api.request("POST", room.path("configmaps"), config(name))
    assert (reply.status, reply.reason) == (422, "Invalid")


async def test_name_and_namespace_must_agree_with_the_path(room: Room) -> None:
    """A body about another object than its path is 400."""
    await create(room, config("x"))
    other = await room.api.request("PUT", room.path("configmaps", "x"), config("y"))
    body = {"metadata": {"name": "z", "namespace": "elsewhere"}}
    elsewhere = await room.api.request("POST", room.path("configmaps"), body)
    assert (other.status, elsewhere.status) == (400, 400)


async def test_protobuf_bodies_are_415_or_understood(room: Room) -> None:
    """A body in a form that nobody speaks is 415."""
    reply = await room.api.request(
        "POST", room.path("configmaps"), b"k8s", content_type="application/x-nobody"
    )
    assert (reply.status, reply.reason) == (415, "UnsupportedMediaType")


async def test_broken_json_is_400(room: Room) -> None:
    """Half an object is 400."""
    reply = await room.api.request("POST", room.path("configmaps"), b'{"metadata":')
    assert reply.status == 400


async def test_dry_run_changes_nothing(room: Room) -> None:
    """dryRun=All answers as if, and stores nothing."""
    path, dry = room.path("configmaps"), {"dryRun": "All"}
    reply = await room.api.request("POST", path, config("x"), query=dict(dry))
    assert reply.status == 201
    assert (await room.api.request("GET", room.path("configmaps", "x"))).status == 404
    made = await create(room, config("x"))
    gone = await room.api.request("DELETE", room.path("configmaps", "x"), query=dict(dry))
    assert gone.status == 200
    read = await room.api.request("GET", room.path("configmaps", "x"))
    assert read.json["metadata"]["uid"] == made["metadata"]["uid"]


# --- ConfigMaps ---------------------------------------------------------------------------


async def test_one_mebibyte_of_values_passes_and_one_more_byte_does_not(room: Room) -> None:
    """The limit is 1048576 bytes of values; keys are not counted; over it 422."""
    fits = {"k" * 200: "x" * 1_000_000, "other": "y" * 48_576}
    await create(room, config("fits", **fits))
    over = config("over", **fits, more="z")
    reply = await room.api.request("POST", room.path("configmaps"), over)
    assert (reply.status, reply.reason) == (422, "Invalid")
    assert "may not be more than 1048576 bytes" in reply.json["message"]


async def test_body_over_three_mebibytes_is_413(room: Room) -> None:
    """A body over the request limit is refused before it is read as an object."""
    reply = await room.api.request("POST", room.path("configmaps"), config("x", a="x" * 3_200_000))
    assert (reply.status, reply.reason) == (413, "RequestEntityTooLarge")


async def test_data_keys_are_checked(room: Room) -> None:
    """A key outside of [-._a-zA-Z0-9] is 422; a value that is no string is 400."""
    spaced = await room.api.request("POST", room.path("configmaps"), config("x", **{"a b": "1"}))
    number = {"metadata": {"name": "y"}, "data": {"a": 1}}
    wrong = await room.api.request("POST", room.path("configmaps"), number)
    assert (spaced.status, wrong.status) == (422, 400)


async def test_immutable_data_stay(room: Room) -> None:
    """Data of an immutable ConfigMap are refused with 422; its labels may change."""
    made = await create(room, {**config("x", a="1"), "immutable": True})
    edited = await put(room, {**made, "data": {"a": "2"}})
    loosened = await put(room, {key: made[key] for key in made if key != "immutable"})
    assert (edited.status, loosened.status) == (422, 422)
    assert "field is immutable when `immutable` is set" in edited.json["message"]
    made["metadata"]["labels"] = {"kept": "yes"}
    assert (await put(room, made)).status == 200


async def test_cleared_field_managers_are_accepted(room: Room) -> None:
    """`managedFields: [{}]` in a PUT is accepted."""
    made = await create(room, config("x", a="1"))
    made["metadata"]["managedFields"] = [{}]
    assert (await put(room, made)).status == 200


# --- patches ------------------------------------------------------------------------------


async def test_merge_patch_sets_and_removes(room: Room) -> None:
    """null removes a key, anything else sets it."""
    await create(room, config("x", a="1", b="2"))
    body = {"data": {"a": None, "c": "3"}, "metadata": {"labels": {"l": "v"}}}
    reply = await room.api.request(
        "PATCH", room.path("configmaps", "x"), body, content_type=MERGE_PATCH
    )
    assert reply.status == 200
    assert reply.json["data"] == {"b": "2", "c": "3"}
    assert reply.json["metadata"]["labels"] == {"l": "v"}


@pytest.mark.parametrize(
    ("step", "status"),
    [
        ({"op": "add", "path": "/data/b", "value": "2"}, 200),
        ({"op": "add", "path": "/data/a", "value": "2"}, 200),
        ({"op": "replace", "path": "/data/missing", "value": "2"}, 200),
        ({"op": "remove", "path": "/data/a"}, 200),
        ({"op": "test", "path": "/data/a", "value": "1"}, 200),
        ({"op": "test", "path": "/data/a", "value": "2"}, 422),
        ({"op": "remove", "path": "/data/missing"}, 422),
        ({"op": "replace", "path": "/metadata/resourceVersion", "value": "1"}, 409),
    ],
)
async def test_json_patch(room: Room, step: dict[str, str], status: int) -> None:
    """Each operation has the code that a real server was seen to give."""
    await create(room, config("x", a="1"))
    reply = await room.api.request(
        "PATCH", room.path("configmaps", "x"), [step], content_type=JSON_PATCH
    )
    assert reply.status == status, reply.text


async def test_unknown_patch_form_is_415(room: Room) -> None:
    """A patch in a form that nobody knows is 415."""
    await create(room, config("x"))
    reply = await room.api.request(
        "PATCH", room.path("configmaps", "x"), {}, content_type="application/json"
    )
    assert reply.status == 415


# --- Leases -------------------------------------------------------------------------------


async def test_put_to_a_missing_lease_creates_it(room: Room) -> None:
    """PUT of a Lease that is not there is 201."""
    reply = await put_lease(room, lease("l", holderIdentity="a"))
    assert (reply.status, reply.json["spec"]["holderIdentity"]) == (201, "a")


async def test_lease_put_needs_a_revision(room: Room) -> None:
    """A PUT of a present Lease without resourceVersion is 422."""
    await put_lease(room, lease("l"))
    reply = await put_lease(room, lease("l"))
    assert (reply.status, reply.reason) == (422, "Invalid")
    assert "metadata.resourceVersion: Invalid value" in reply.json["message"]
    assert "must be specified for an update" in reply.json["message"]


async def test_stale_lease_put_is_a_conflict(room: Room) -> None:
    """Of two takers of a Lease, the second gets 409 and the group in the text."""
    made = (await put_lease(room, lease("l", holderIdentity="a"))).json
    won = await put_lease(room, {**made, "spec": {**made["spec"], "holderIdentity": "b"}})
    lost = await put_lease(room, {**made, "spec": {**made["spec"], "holderIdentity": "c"}})
    assert (won.status, lost.status) == (200, 409)
    assert lost.json["message"].startswith(
        'Operation cannot be fulfilled on leases.coordination.k8s.io "l": '
    )


@pytest.mark.parametrize(
    ("spec", "status"),
    [
        ({"leaseDurationSeconds": 0}, 422),
        ({"leaseDurationSeconds": -1}, 422),
        ({"leaseDurationSeconds": 1}, 201),
        ({"leaseTransitions": -1}, 422),
        ({"holderIdentity": None}, 201),
        ({"renewTime": "2026-11-21T00:00:00.123456Z"}, 201),
        ({"renewTime": "2026-11-21T00:00:00.123Z"}, 400),
        ({"renewTime": "yesterday"}, 400),
    ],
)
async def test_lease_values(room: Room, spec: dict[str, object], status: int) -> None:
    """A Lease must last, count up, and give times with six fraction digits."""
    path = room.path("leases", group=LEASES)
    assert (await room.api.request("POST", path, lease("l", **spec))).status == status
