"""The objects, one revision counter, and the window of changes that watches read.

Promise: every write is one plain function call, so nothing can come between its check and its
effect; every effect has its own revision; a write that changes nothing has none. Objects that go
in or out are copies. What watches read is kept by `changes.Window`.
"""

from __future__ import annotations

import copy
import time
import uuid
from collections.abc import Callable

from . import errors, rules, updates
from .changes import WINDOW_MAX, Change, Cursor, Window
from .kinds import NAMESPACES, PODS, Kind
from .objects import Object, metadata_of, name_of, namespace_of, revision_of, rfc3339, uid_of
from .pages import Pages
from .selectors import EVERYTHING, Selector
from .updates import Deletion

DELETE_NOW = Deletion(grace_s=0)
DELETE = Deletion()


class Store:
    """Everything the API server knows. Owned by one trio run; not thread-safe.

    Args:
        wall_clock: Seconds since 1970, for the timestamps that people read.
        new_uid: Makes a UID; anything with a unique str().
        window_max: Changes kept for watches.
    """

    def __init__(
        self,
        *,
        wall_clock: Callable[[], float] = time.time,
        new_uid: Callable[[], object] = uuid.uuid4,
        window_max: int = WINDOW_MAX,
    ) -> None:
        self._wall_clock = wall_clock
        self._new_uid = new_uid
        self._window = Window(window_max)
        self.pages = Pages()
        self._objects: dict[Kind, dict[tuple[str, str], Object]] = {}
        self._ensure_namespace("default")

    # --- reading -------------------------------------------------------------------------

    def has(self, kind: Kind, namespace: str, name: str) -> bool:
        """Say whether the object is there."""
        return (namespace, name) in self._of(kind)

    def get(self, kind: Kind, namespace: str, name: str) -> Object:
        """Return a copy of the object; `namespace` is "" for what has none.

        Raises:
            ApiError: 404 when it is not there.
        """
        return copy.deepcopy(self._stored(kind, namespace, name))

    def select(self, kind: Kind, selector: Selector = EVERYTHING) -> tuple[list[Object], int]:
        """Return copies of what is selected, in name order, and the revision they are true at."""
        found = sorted(self._of(kind).items())
        return [copy.deepcopy(obj) for _, obj in found if selector.matches(obj)], self.revision

    def watch(self, kind: Kind, selector: Selector = EVERYTHING, *, since: int) -> Cursor:
        """Return a reader of the changes after revision `since`."""
        return Cursor(self._window, kind, selector, since)

    @property
    def revision(self) -> int:
        """Return the number of the latest change."""
        return self._window.revision

    async def wait_changed(self, revision: int) -> None:
        """Block until the store is past this revision."""
        await self._window.wait_changed(revision)

    def compact(self) -> None:
        """Forget all changes up to now; every reader that is behind gets 410."""
        self._window.compact()
        self.pages.forget()

    # --- writing -------------------------------------------------------------------------

    def create(self, kind: Kind, namespace: str, body: Object, *, dry_run: bool = False) -> Object:
        """Store a new object and return it as stored.

        Raises:
            ApiError: 409 when the name is taken, 400 or 422 when the object breaks a rule.
        """
        new = updates.admitted(kind, namespace, body)
        meta = metadata_of(new)
        if revision_of(new):
            raise errors.internal("resourceVersion should not be set on objects to be created")
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = f"{meta['generateName']}{uuid.uuid4().hex[:5]}"
        if self.has(kind, namespace, name_of(new)):
            raise kind.already_exists(name_of(new))
        rules.set_defaults(kind, new)
        rules.check(kind, new, None)
        for field in updates.SERVER_OWNED:
            meta.pop(field, None)
        meta["uid"] = str(self._new_uid())
        meta["creationTimestamp"] = rfc3339(self._wall_clock())
        if kind.has_spec:
            meta["generation"] = 1
        if namespace and not dry_run:
            self._ensure_namespace(namespace)
        return self._commit(kind, None, new, dry_run=dry_run)

    def replace(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        body: Object,
        *,
        subresource: str = "",
        dry_run: bool = False,
    ) -> Object:
        """Store the object in place of the present one and return it as stored.

        With subresource "status" only the status is taken; without, all but the status.

        Raises:
            ApiError: 404 missing, 409 stale resourceVersion or other UID, 400 or 422 broken rule.
        """
        new = updates.admitted(kind, namespace, body, name)
        old = self._of(kind).get((namespace, name))
        if old is None:
            return self._create_on_update(kind, namespace, new, dry_run=dry_run)
        updates.check_update(kind, old, new)
        new = updates.joined(kind, old, new, subresource)
        rules.check(kind, new, old)
        if updates.is_released(kind, new):
            return self._remove(kind, old, dry_run=dry_run)
        return self._commit(kind, old, new, dry_run=dry_run)

    def patch(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        apply: Callable[[Object], Object],
        *,
        subresource: str = "",
        dry_run: bool = False,
    ) -> Object:
        """Replace the object by what `apply` makes of it; see `replace`."""
        new = apply(self.get(kind, namespace, name))
        return self.replace(kind, namespace, name, new, subresource=subresource, dry_run=dry_run)

    def delete(
        self,
        kind: Kind,
        namespace: str,
        name: str,
        how: Deletion = DELETE,
        *,
        dry_run: bool = False,
    ) -> tuple[Object, bool]:
        """Delete, or begin to; return the object as it was last, and whether it is gone.

        A pod on a node with a grace above 0 stays, marked, until its kubelet deletes it with
        grace 0. An object with finalizers stays until they are taken off.

        Raises:
            ApiError: 404 missing, 409 when a precondition does not hold.
        """
        old = self._stored(kind, namespace, name)
        updates.check_deletion(kind, old, how)
        grace_s = updates.grace_s(kind, old, how)
        meta = old["metadata"]
        if grace_s == 0 and not meta.get("finalizers"):
            return self._remove(kind, old, dry_run=dry_run), True
        if "deletionTimestamp" in meta and meta["deletionGracePeriodSeconds"] <= grace_s:
            return copy.deepcopy(old), False
        new = copy.deepcopy(old)
        new["metadata"]["deletionTimestamp"] = rfc3339(self._wall_clock() + grace_s)
        new["metadata"]["deletionGracePeriodSeconds"] = grace_s
        return self._commit(kind, old, new, dry_run=dry_run), False

    def bind(self, namespace: str, name: str, node: str) -> None:
        """Put a pod on a node, once.

        Raises:
            ApiError: 404 missing, 409 when it is on a node already.
        """
        old = self._stored(PODS, namespace, name)
        if old["spec"].get("nodeName"):
            held = old["spec"]["nodeName"]
            raise PODS.conflict(name, f'pod {name} is already assigned to node "{held}"')
        new = copy.deepcopy(old)
        new["spec"]["nodeName"] = node
        stamp = rfc3339(self._wall_clock())
        condition = {"type": "PodScheduled", "status": "True", "lastTransitionTime": stamp}
        new["status"].setdefault("conditions", []).append(condition)
        self._commit(PODS, old, new)

    # --- inside --------------------------------------------------------------------------

    def _of(self, kind: Kind) -> dict[tuple[str, str], Object]:
        return self._objects.setdefault(kind, {})

    def _stored(self, kind: Kind, namespace: str, name: str) -> Object:
        obj = self._of(kind).get((namespace, name))
        if obj is None:
            raise kind.not_found(name)
        return obj

    def _ensure_namespace(self, name: str) -> None:
        # A real server refuses to write into a missing namespace; a sandbox has nobody to ask.
        if not self.has(NAMESPACES, "", name):
            self.create(NAMESPACES, "", {"metadata": {"name": name}})

    def _create_on_update(
        self, kind: Kind, namespace: str, new: Object, *, dry_run: bool
    ) -> Object:
        if not kind.creates_on_update:
            raise kind.not_found(name_of(new))
        if uid_of(new):
            raise kind.conflict(name_of(new), updates.uid_text(uid_of(new), ""))
        metadata_of(new).pop("resourceVersion", None)
        return self.create(kind, namespace, new, dry_run=dry_run)

    def _commit(
        self, kind: Kind, old: Object | None, new: Object, *, dry_run: bool = False
    ) -> Object:
        """Make `new` true unless it is `old`, tell the readers, and return a copy."""
        if new == old or dry_run:
            return copy.deepcopy(new)
        stored = copy.deepcopy(new)
        stored["metadata"]["resourceVersion"] = str(self.revision + 1)
        self._of(kind)[namespace_of(stored), name_of(stored)] = stored
        self._window.add(Change(self.revision + 1, kind, old, stored))
        return copy.deepcopy(stored)

    def _remove(self, kind: Kind, old: Object, *, dry_run: bool) -> Object:
        """Take the object away, tell the readers, and return it as it was last."""
        last = copy.deepcopy(old)
        if not dry_run:
            last["metadata"]["resourceVersion"] = str(self.revision + 1)
            del self._of(kind)[namespace_of(old), name_of(old)]
            self._window.add(Change(self.revision + 1, kind, last, None))
        return copy.deepcopy(last)
