"""What lists, deletions and watches of an API server must do, whoever it is.

Runs against the stand-in always, and against a real API server too when the environment variable
MEMGRAPH_CONTROLLER_KUBECONFIG names its kubeconfig.
"""

from __future__ import annotations

import pytest
from api_client import Watch
from api_rooms import MERGE_PATCH, Room, config, create, list_revision, put

# --- lists, selectors, deletion -----------------------------------------------------------


async def labelled(room: Room) -> None:
    """Create three ConfigMaps with labels."""
    for name, labels in (("a", {"app": "m"}), ("b", {"app": "m", "old": ""}), ("c", {})):
        await create(room, {"metadata": {"name": name, "labels": labels}})


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ("app=m", ["a", "b"]),
        ("app==m,!old", ["a"]),
        ("old", ["b"]),
        ("app!=m", ["c"]),
        ("app in (m,n)", ["a", "b"]),
        ("app notin (m, n)", ["c"]),
    ],
)
async def test_label_selectors(room: Room, selector: str, names: list[str]) -> None:
    """A list holds what its label selector selects, in name order."""
    await labelled(room)
    query: dict[str, object] = {"labelSelector": selector}
    if "!=" in selector or "notin" in selector:
        query["fieldSelector"] = "metadata.name!=kube-root-ca.crt"  # a real namespace has one
    reply = await room.api.request("GET", room.path("configmaps"), query=query)
    assert [item["metadata"]["name"] for item in reply.json["items"]] == names
    assert reply.json["kind"] == "ConfigMapList"


async def test_field_selectors(room: Room) -> None:
    """metadata.name selects one; a path that cannot be selected by is 400."""
    await labelled(room)
    path = room.path("configmaps")
    one = await room.api.request("GET", path, query={"fieldSelector": "metadata.name=b"})
    bad = await room.api.request("GET", path, query={"fieldSelector": "data.x=b"})
    assert [item["metadata"]["name"] for item in one.json["items"]] == ["b"]
    assert bad.status == 400


async def test_delete_answers_success_and_the_object_is_gone(room: Room) -> None:
    """DELETE of a ConfigMap is a Status Success with its UID; then it is 404."""
    made = await create(room, config("x"))
    reply = await room.api.request("DELETE", room.path("configmaps", "x"))
    assert (reply.status, reply.json["status"]) == (200, "Success")
    assert reply.json["details"]["uid"] == made["metadata"]["uid"]
    assert (await room.api.request("GET", room.path("configmaps", "x"))).status == 404


@pytest.mark.parametrize("field", ["uid", "resourceVersion"])
async def test_delete_preconditions(room: Room, field: str) -> None:
    """DELETE with another uid or resourceVersion is 409; with the present one it succeeds."""
    made = await create(room, config("x"))
    path = room.path("configmaps", "x")
    wrong = await room.api.request("DELETE", path, {"preconditions": {field: "12345"}})
    assert (wrong.status, wrong.reason) == (409, "Conflict")
    right = {"preconditions": {field: made["metadata"][field]}}
    assert (await room.api.request("DELETE", path, right)).status == 200


async def test_finalizers_hold_an_object(room: Room) -> None:
    """A deleted object with a finalizer stays, marked, until the finalizer is taken off."""
    body = config("x")
    body["metadata"]["finalizers"] = ["example.org/hold"]
    await create(room, body)
    path = room.path("configmaps", "x")
    await room.api.request("DELETE", path)
    held = await room.api.request("GET", path)
    assert "deletionTimestamp" in held.json["metadata"]
    labelled_only = {"metadata": {"labels": {"l": "v"}}}
    await room.api.request("PATCH", path, labelled_only, content_type=MERGE_PATCH)
    assert (await room.api.request("GET", path)).status == 200
    freed = {"metadata": {"finalizers": None}}
    await room.api.request("PATCH", path, freed, content_type=MERGE_PATCH)
    assert (await room.api.request("GET", path)).status == 404


async def test_list_of_the_future_is_504(room: Room) -> None:
    """A list at a revision that has not happened yet is 504 Timeout after some seconds."""
    reply = await room.api.request(
        "GET", room.path("configmaps"), query={"resourceVersion": "999999999"}
    )
    assert (reply.status, reply.reason) == (504, "Timeout")


# --- watches ------------------------------------------------------------------------------


async def test_watch_from_a_list_misses_nothing(room: Room) -> None:
    """A watch from a list's revision shows every later change of its kind, in order, once."""
    since = await list_revision(room)
    await create(room, config("before"))
    async with room.api.watch(room.path("configmaps"), resourceVersion=since) as watch:
        made = await create(room, config("x", a="1"))
        await put(room, {**made, "data": {"a": "2"}})
        await room.api.request("DELETE", room.path("configmaps", "x"))
        assert await watch.next_names(4) == [
            ("ADDED", "before"),
            ("ADDED", "x"),
            ("MODIFIED", "x"),
            ("DELETED", "x"),
        ]


async def test_deleted_event_carries_a_new_revision(room: Room) -> None:
    """DELETED holds the last state, with the revision of the deletion."""
    made = await create(room, config("x", a="1"))
    since = made["metadata"]["resourceVersion"]
    async with room.api.watch(room.path("configmaps"), resourceVersion=since) as watch:
        await room.api.request("DELETE", room.path("configmaps", "x"))
        event = await watch.next_event()
    assert event is not None
    assert (event["type"], event["object"]["data"]) == ("DELETED", {"a": "1"})
    assert int(event["object"]["metadata"]["resourceVersion"]) > int(since)


async def test_watch_without_revision_begins_with_what_is_there(room: Room) -> None:
    """Without a resourceVersion the present objects come first, as ADDED."""
    await create(room, config("x"))
    only = {"fieldSelector": "metadata.name=x"}
    async with room.api.watch(room.path("configmaps"), **only) as watch:
        assert await watch.next_names(1) == [("ADDED", "x")]


async def test_leaving_the_selection_is_a_deletion(room: Room) -> None:
    """A watch by label sees ADDED and DELETED when the label comes and goes."""
    since = await list_revision(room)
    query: dict[str, object] = {"labelSelector": "app=m", "resourceVersion": since}
    async with room.api.watch(room.path("configmaps"), **query) as watch:
        await create(room, config("x"))
        for labels in ({"app": "m"}, {"app": "m", "other": "1"}, {"app": "n"}):
            body = {"metadata": {"labels": labels}}
            path = room.path("configmaps", "x")
            await room.api.request("PATCH", path, body, content_type=MERGE_PATCH)
        assert await watch.next_names(3) == [("ADDED", "x"), ("MODIFIED", "x"), ("DELETED", "x")]


async def test_no_event_for_a_write_without_effect(room: Room) -> None:
    """A PUT that changes nothing is not in the watch."""
    made = await create(room, config("x"))
    since = made["metadata"]["resourceVersion"]
    async with room.api.watch(room.path("configmaps"), resourceVersion=since) as watch:
        await put(room, made)
        await create(room, config("y"))
        assert await watch.next_names(1) == [("ADDED", "y")]


async def end_of(watch: Watch) -> list[str]:
    """Return the types of what comes until the proper end of the stream."""
    types = []
    while (event := await watch.next_event()) is not None:
        types.append(event["type"])
    return types


async def test_watch_ends_properly_at_its_timeout(room: Room) -> None:
    """timeoutSeconds ends the stream without an error; bookmarks come only when asked for."""
    path, since = room.path("configmaps"), await list_revision(room)
    query: dict[str, object] = {"resourceVersion": since, "timeoutSeconds": 1}
    async with room.api.watch(path, **query) as watch:
        assert await end_of(watch) == []
    async with room.api.watch(path, **query, allowWatchBookmarks="true") as watch:
        assert set(await end_of(watch)) <= {"BOOKMARK"}


async def test_watch_of_the_future_is_silent(room: Room) -> None:
    """A watch from a revision that has not happened yet is 200 and tells nothing."""
    query: dict[str, object] = {"resourceVersion": "999999999", "timeoutSeconds": 1}
    async with room.api.watch(room.path("configmaps"), **query) as watch:
        await create(room, config("x"))
        assert await end_of(watch) == []


async def test_streaming_list_ends_with_a_marked_bookmark(room: Room) -> None:
    """sendInitialEvents gives ADDED for all, then a bookmark that says so."""
    await create(room, config("x"))
    query: dict[str, object] = {
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
        "allowWatchBookmarks": "true",
        "fieldSelector": "metadata.name=x",
    }
    async with room.api.watch(room.path("configmaps"), **query) as watch:
        assert await watch.next_names(1) == [("ADDED", "x")]
        mark = await watch.next_event()
    assert mark is not None
    assert mark["type"] == "BOOKMARK"
    assert mark["object"]["metadata"]["annotations"]["k8s.io/initial-events-end"] == "true"


async def test_streaming_list_must_say_how_fresh(room: Room) -> None:
    """sendInitialEvents without resourceVersionMatch is 422."""
    query: dict[str, object] = {"watch": "true", "sendInitialEvents": "true"}
    reply = await room.api.request("GET", room.path("configmaps"), query=query)
    assert reply.status == 422
