"""The plain parts of the API stand-in, by table."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from controller.sandbox.apiserver import (
    CONFIGMAPS,
    KINDS,
    PODS,
    STATEFULSETS,
    ApiError,
    Deletion,
    Selector,
    Store,
    parse_fields,
    parse_labels,
)
from controller.sandbox.apiserver.discovery import document_at
from controller.sandbox.apiserver.faults import Call
from controller.sandbox.apiserver.http import Request
from controller.sandbox.apiserver.patches import (
    JSON_PATCH,
    MERGE_PATCH,
    STRATEGIC_PATCH,
    apply_patch,
)
from controller.sandbox.apiserver.routes import parse_call
from controller.sandbox.apiserver.tables import age, pod_restarts, pod_state
from controller.sandbox.apiserver.updates import grace_s

NOW_S = 1_000_000_000  # 2001-09-09T01:46:40Z
NOW = "2001-09-09T01:46:40Z"


def request(method: str, path: str, **query: str) -> Request:
    """Return a request without a body."""
    return Request(method, path, query, {}, b"")


# --- routes -------------------------------------------------------------------------------

NS = "/api/v1/namespaces"


@pytest.mark.parametrize(
    ("method", "path", "verb", "plural", "namespace", "name", "subresource"),
    [
        ("GET", "/api/v1/pods", "list", "pods", "", "", ""),
        ("GET", f"{NS}/d/pods", "list", "pods", "d", "", ""),
        ("POST", f"{NS}/d/pods", "create", "pods", "d", "", ""),
        ("DELETE", f"{NS}/d/pods", "deletecollection", "pods", "d", "", ""),
        ("GET", f"{NS}/d/pods/p", "get", "pods", "d", "p", ""),
        ("PUT", f"{NS}/d/pods/p/status", "update", "pods", "d", "p", "status"),
        ("POST", f"{NS}/d/pods/p/eviction", "create", "pods", "d", "p", "eviction"),
        ("GET", NS, "list", "namespaces", "", "", ""),
        ("GET", f"{NS}/d", "get", "namespaces", "", "d", ""),
        ("PATCH", f"{NS}/d/status", "patch", "namespaces", "", "d", "status"),
        ("GET", "/api/v1/nodes/n", "get", "nodes", "", "n", ""),
        ("GET", "/apis/apps/v1/namespaces/d/statefulsets", "list", "statefulsets", "d", "", ""),
    ],
)
def test_paths_become_calls(
    method: str, path: str, verb: str, plural: str, namespace: str, name: str, subresource: str
) -> None:
    """A path and a method are read as RBAC would."""
    call = parse_call(request(method, path), "u")
    assert call is not None
    assert call.kind is not None
    assert call.kind.plural == plural
    assert call == Call("u", verb, call.kind, namespace, name, subresource)


def test_watch_is_a_verb_of_its_own() -> None:
    """A list with ?watch=1 is the verb watch, as RBAC has it."""
    call = parse_call(request("GET", "/api/v1/pods", watch="1"), "u")
    assert call is not None
    assert call.verb == "watch"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api/v2/pods",
        "/apis/apps/v1/pods",
        f"{NS}/d/nodes",
        f"{NS}/d/pods/p/log",
        f"{NS}/d/pods/p/status/more",
        "/api/v1/pods/p",
    ],
)
def test_paths_of_nothing(path: str) -> None:
    """A path that names no resource is none."""
    assert parse_call(request("GET", path), "u") is None


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", f"{NS}/d/pods"),
        ("POST", "/api/v1/pods"),
        ("POST", f"{NS}/d/pods/p"),
        ("DELETE", f"{NS}/d/pods/p/status"),
        ("GET", f"{NS}/d/pods/p/binding"),
    ],
)
def test_methods_that_do_not_exist(method: str, path: str) -> None:
    """A method that a resource does not have is refused with 405."""
    with pytest.raises(ApiError, match="405"):
        parse_call(request(method, path), "u")


def test_discovery_lists_every_kind() -> None:
    """Each row of the table is found under its group, with its short names."""
    for kind in KINDS:
        root = f"/apis/{kind.group}" if kind.group else "/api"
        document = document_at(f"{root}/{kind.version}")
        assert document is not None
        entry = next(e for e in document["resources"] if e["name"] == kind.plural)
        assert entry["kind"] == kind.name
        assert tuple(entry.get("shortNames", ())) == kind.short_names
    assert document_at("/apis/apps/v2") is None
    assert document_at("/apis/nobody") is None


# --- selectors ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "labels", "selected"),
    [
        ("", {}, True),
        ("a=1", {"a": "1"}, True),
        ("a=1", {}, False),
        ("a!=1", {}, True),
        ("a!=1", {"a": "1"}, False),
        ("a", {"a": ""}, True),
        ("!a", {"a": ""}, False),
        ("a in (1, 2),b", {"a": "2", "b": ""}, True),
        ("a in (1,2)", {"a": "3"}, False),
        ("a notin (1)", {}, True),
        ("a=", {"a": ""}, True),
    ],
)
def test_label_selector(text: str, labels: dict[str, str], selected: bool) -> None:
    """A selector selects what Kubernetes documents."""
    found = Selector(labels=parse_labels(text)).matches({"metadata": {"labels": labels}})
    assert found is selected


@pytest.mark.parametrize("text", ["a=1=2", "a b", "a in 1", "=1"])
def test_unreadable_selector_is_never_everything(text: str) -> None:
    """What cannot be read is 400."""
    with pytest.raises(ApiError, match="400"):
        parse_labels(text)


def test_fields_are_those_of_the_kind() -> None:
    """A pod is selected by its node; a ConfigMap has none and says so."""
    terms = parse_fields("spec.nodeName=n,status.phase!=Failed", PODS)
    assert Selector(fields=terms).matches({"spec": {"nodeName": "n"}})
    assert not Selector(fields=terms).matches({"spec": {"nodeName": "m"}})
    with pytest.raises(ApiError, match="field label not supported"):
        parse_fields("spec.nodeName=n", CONFIGMAPS)


# --- patches ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content_type", "patch", "result"),
    [
        (MERGE_PATCH, {"a": None, "b": {"c": 1}}, {"b": {"c": 1}, "l": [1, 2]}),
        (MERGE_PATCH, {"l": [3]}, {"a": 1, "l": [3]}),
        (JSON_PATCH, [{"op": "add", "path": "/l/-", "value": 3}], {"a": 1, "l": [1, 2, 3]}),
        (JSON_PATCH, [{"op": "add", "path": "/l/0", "value": 0}], {"a": 1, "l": [0, 1, 2]}),
        (JSON_PATCH, [{"op": "replace", "path": "/l/1", "value": 9}], {"a": 1, "l": [1, 9]}),
        (JSON_PATCH, [{"op": "remove", "path": "/l/0"}], {"a": 1, "l": [2]}),
        (JSON_PATCH, [{"op": "move", "from": "/a", "path": "/z"}], {"z": 1, "l": [1, 2]}),
        (JSON_PATCH, [{"op": "copy", "from": "/a", "path": "/z"}], {"a": 1, "z": 1, "l": [1, 2]}),
        (
            JSON_PATCH,
            [{"op": "add", "path": "/x~1y~0", "value": 1}],
            {"a": 1, "l": [1, 2], "x/y~": 1},
        ),
        (STRATEGIC_PATCH, {"$setElementOrder/l": [], "a": 2}, {"a": 2, "l": [1, 2]}),
    ],
)
def test_patches(content_type: str, patch: Any, result: Any) -> None:
    """A patch gives the result of its RFC and leaves what it was given alone."""
    before = {"a": 1, "l": [1, 2]}
    kept = copy.deepcopy(before)
    assert apply_patch(content_type, before, json.dumps(patch).encode()) == result
    assert before == kept


def test_strategic_merge_joins_lists_by_key() -> None:
    """Conditions are joined by type; an entry can be taken out."""
    before = {"conditions": [{"type": "A", "status": "1"}, {"type": "B", "status": "1"}]}
    patch = {"conditions": [{"type": "B", "status": "2"}, {"type": "A", "$patch": "delete"}]}
    after = apply_patch(STRATEGIC_PATCH, before, json.dumps(patch).encode())
    assert after == {"conditions": [{"type": "B", "status": "2"}]}


@pytest.mark.parametrize(
    ("content_type", "body", "code"),
    [
        (MERGE_PATCH, b"{", 400),
        (MERGE_PATCH, b"[]", 400),
        (JSON_PATCH, b"{}", 400),
        (JSON_PATCH, b'[{"op": "fly", "path": "/a"}]', 422),
        (JSON_PATCH, b'[{"op": "add", "path": "a", "value": 1}]', 422),
        (JSON_PATCH, b'[{"op": "add", "path": "/no/where", "value": 1}]', 422),
        (JSON_PATCH, b"[7]", 422),
        ("application/apply-patch+yaml", b"{}", 415),
    ],
)
def test_patches_that_cannot_be_applied(content_type: str, body: bytes, code: int) -> None:
    """Each is refused with the code of a real server."""
    with pytest.raises(ApiError) as refusal:
        apply_patch(content_type, {"a": 1}, body)
    assert refusal.value.code == code


# --- tables and updates -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ago_s", "text"),
    [
        (0, "0s"),
        (59, "59s"),
        (60, "1m"),
        (61, "1m1s"),
        (8 * 60 + 5, "8m"),
        (3_600, "1h"),
        (3_660, "1h1m"),
        (2 * 86_400 + 3_600, "2d1h"),
        (30 * 86_400, "30d"),
        (-5, "0s"),
    ],
)
def test_age(ago_s: int, text: str) -> None:
    """An age is worded in at most two units."""
    assert age(NOW, NOW_S + ago_s) == text


def test_pod_columns() -> None:
    """STATUS is the most telling word; RESTARTS is a sum."""
    box = {"state": {"waiting": {"reason": "CrashLoopBackOff"}}, "restartCount": 2}
    status = {"phase": "Running", "containerStatuses": [box, {"restartCount": 1}]}
    pod: dict[str, Any] = {"metadata": {}, "status": status}
    assert (pod_state(pod), pod_restarts(pod)) == ("CrashLoopBackOff", "3")
    pod["metadata"]["deletionTimestamp"] = NOW
    assert pod_state(pod) == "Terminating"
    assert pod_state({"metadata": {}, "status": {"phase": "Pending"}}) == "Pending"


@pytest.mark.parametrize(
    ("spec", "phase", "asked_s", "expected_s"),
    [
        ({"nodeName": "n"}, "Running", None, 30),
        ({"nodeName": "n", "terminationGracePeriodSeconds": 7}, "Running", None, 7),
        ({"nodeName": "n"}, "Running", 3, 3),
        ({"nodeName": "n"}, "Running", -1, 0),
        ({"nodeName": "n"}, "Failed", None, 0),
        ({}, "Pending", None, 0),
    ],
)
def test_grace(spec: dict[str, Any], phase: str, asked_s: int | None, expected_s: int) -> None:
    """A pod gets the grace that was asked for, else its own, and none if it runs nowhere."""
    pod = {"spec": spec, "status": {"phase": phase}}
    assert grace_s(PODS, pod, Deletion(grace_s=asked_s)) == expected_s
    assert grace_s(CONFIGMAPS, pod, Deletion(grace_s=asked_s)) == 0


def test_clock_and_identities_can_be_given() -> None:
    """With a clock and UIDs of its own, a store makes the same objects every time."""
    uids = iter(["namespace", "first", "second"])
    store = Store(wall_clock=lambda: NOW_S, new_uid=lambda: next(uids))
    first = store.create(CONFIGMAPS, "default", {"metadata": {"name": "x"}})
    assert first["metadata"]["uid"] == "first"
    assert first["metadata"]["creationTimestamp"] == NOW


def test_generation_counts_changes_of_the_spec() -> None:
    """A new label leaves generation, a new spec moves it, whatever the client sends."""
    store = Store()
    made = store.create(STATEFULSETS, "default", {"metadata": {"name": "m"}, "spec": {}})
    made["metadata"].update(labels={"l": "v"}, generation=99)
    labelled = store.replace(STATEFULSETS, "default", "m", made)
    labelled["spec"]["replicas"] = 5
    scaled = store.replace(STATEFULSETS, "default", "m", labelled)
    assert [made["metadata"]["generation"], labelled["metadata"]["generation"]] == [99, 1]
    assert scaled["metadata"]["generation"] == 2
