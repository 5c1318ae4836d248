"""Executes one call on the store and says what to answer.

Promise: plain functions with no await between the check and the effect. Watches are not here.
"""

from __future__ import annotations

import json

import attrs

from . import errors, patches, scale, selectors
from .faults import Call
from .http import Request
from .kinds import PODS, Kind
from .objects import Object, metadata_of, name_of, uid_of
from .selectors import Selector
from .store import Store
from .updates import Deletion

JSON_TYPES = ("application/json", "application/json-seq")
SPOKEN = ("application/json", *patches.PATCH_TYPES)


@attrs.frozen
class Answer:
    """A code and a JSON body."""

    code: int
    body: Object


def selector_of(request: Request, kind: Kind, call: Call) -> Selector:
    """Return what a list or watch is about.

    Raises:
        ApiError: 400 for selectors that cannot be read.
    """
    fields = request.query.get("fieldSelector", "")
    if call.name:
        fields = f"metadata.name={call.name}"
    return Selector(
        namespace=call.namespace or None,
        labels=selectors.parse_labels(request.query.get("labelSelector", "")),
        fields=selectors.parse_fields(fields, kind),
    )


def execute(store: Store, kind: Kind, call: Call, request: Request) -> Answer:
    """Do what is asked and return the answer.

    Raises:
        ApiError: The refusal.
    """
    match call.verb:
        case "get" | "update" | "patch" if call.subresource == "scale":
            return _scale(store, kind, call, request)
        case "get":
            return Answer(200, store.get(kind, call.namespace, call.name))
        case "list":
            return _list(store, kind, selector_of(request, kind, call), request)
        case "create":
            return _create(store, kind, call, request)
        case "update":
            return _update(store, kind, call, request)
        case "patch":
            return _patch(store, kind, call, request)
        case "delete":
            return _delete(store, kind, call, request)
        case "deletecollection":
            return _delete_collection(store, kind, call, request)
    raise errors.method_not_allowed()


def _content_type(request: Request) -> str:
    given = request.headers.get("content-type", "application/json")
    return given.partition(";")[0].strip().lower()


def _body(request: Request) -> Object:
    """Return the JSON object in the body.

    Raises:
        ApiError: 415 for protobuf and the like, 400 for broken JSON, 413 for too much.
    """
    if request.too_large:
        raise errors.too_large()
    if _content_type(request) not in JSON_TYPES:
        raise errors.unsupported_media_type(_content_type(request), SPOKEN)
    try:
        body = json.loads(request.body)
    except ValueError as error:
        raise errors.bad_request(f"error decoding the body: {error}") from error
    if not isinstance(body, dict):
        raise errors.bad_request("the body is no object")
    return body


def _is_dry(request: Request) -> bool:
    return request.query.get("dryRun") == "All"


def _list(store: Store, kind: Kind, selector: Selector, request: Request) -> Answer:
    items, revision = store.select(kind, selector)
    for item in items:  # as a real server: the list says once what its items are
        del item["kind"], item["apiVersion"]
    page = store.pages.page(request, items, revision)
    meta: Object = {"resourceVersion": str(page.revision)}
    if page.token:
        meta |= {"continue": page.token, "remainingItemCount": page.left}
    body: Object = {
        "kind": f"{kind.name}List",
        "apiVersion": kind.api_version,
        "metadata": meta,
        "items": page.items,
    }
    return Answer(200, body)


def _create(store: Store, kind: Kind, call: Call, request: Request) -> Answer:
    body = _body(request)
    if call.subresource == "binding":
        store.bind(call.namespace, call.name, body.get("target", {}).get("name", ""))
        return Answer(201, _success())
    if call.subresource == "eviction":
        how = _deletion(body.get("deleteOptions") or {}, request)
        store.delete(PODS, call.namespace, call.name, how, dry_run=_is_dry(request))
        return Answer(201, _success())
    if call.name and name_of(body) != call.name:
        raise errors.method_not_allowed()
    return Answer(201, store.create(kind, call.namespace, body, dry_run=_is_dry(request)))


def _update(store: Store, kind: Kind, call: Call, request: Request) -> Answer:
    body = _body(request)
    existed = store.has(kind, call.namespace, call.name)
    if not name_of(body):
        raise errors.bad_request("name must be provided in the body of an update")
    new = store.replace(
        kind,
        call.namespace,
        call.name,
        body,
        subresource=call.subresource,
        dry_run=_is_dry(request),
    )
    return Answer(200 if existed else 201, new)


def _patch(store: Store, kind: Kind, call: Call, request: Request) -> Answer:
    if request.too_large:
        raise errors.too_large()
    content_type = _content_type(request)
    new = store.patch(
        kind,
        call.namespace,
        call.name,
        lambda old: patches.apply_patch(content_type, old, request.body),
        subresource=call.subresource,
        dry_run=_is_dry(request),
    )
    return Answer(200, new)


def _scale(store: Store, kind: Kind, call: Call, request: Request) -> Answer:
    if call.verb == "get":
        return Answer(200, scale.view(store.get(kind, call.namespace, call.name)))
    if call.verb == "update":
        body = _body(request)
        new = scale.write(store, kind, call.namespace, call.name, lambda old: body)
    else:
        content_type = _content_type(request)
        new = scale.write(
            store,
            kind,
            call.namespace,
            call.name,
            lambda old: patches.apply_patch(content_type, old, request.body),
        )
    return Answer(200, new)


def _deletion(options: Object, request: Request) -> Deletion:
    grace_s = options.get("gracePeriodSeconds")
    if grace_s is None and (given := request.query.get("gracePeriodSeconds")):
        grace_s = int(given)
    conditions = options.get("preconditions") or {}
    return Deletion(grace_s, conditions.get("uid"), conditions.get("resourceVersion"))


def _delete(store: Store, kind: Kind, call: Call, request: Request) -> Answer:
    how = _deletion(_body(request) if request.body else {}, request)
    last, gone = store.delete(kind, call.namespace, call.name, how, dry_run=_is_dry(request))
    if kind is PODS or not gone:
        return Answer(200, last)
    details = {"name": call.name, "kind": kind.plural, "uid": uid_of(last)}
    if kind.group:
        details["group"] = kind.group
    return Answer(200, _success(details))


def _delete_collection(store: Store, kind: Kind, call: Call, request: Request) -> Answer:
    how = _deletion(_body(request) if request.body else {}, request)
    answer = _list(store, kind, selector_of(request, kind, call), request)
    for item in answer.body["items"]:
        name = str(metadata_of(item)["name"])
        store.delete(kind, call.namespace, name, how, dry_run=_is_dry(request))
    return answer


def _success(details: Object | None = None) -> Object:
    status: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    if details:
        status["details"] = details
    return status


def check_revision(request: Request) -> int | None:
    """Return the resourceVersion asked for, None when none was.

    Raises:
        ApiError: 400 when it is no number.
    """
    given = request.query.get("resourceVersion", "")
    if not given:
        return None
    if not given.isdecimal():
        raise errors.bad_request(f'Invalid value: "{given}": strconv.ParseUint: invalid syntax')
    return int(given)
