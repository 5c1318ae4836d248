"""The resources that are served, as one table.

Promise: discovery, routing, selectors and the store all read this table and nothing else, so a
kind added here is served everywhere. A kind is compared by identity: there is one `Kind` per row.
"""

from __future__ import annotations

import attrs

from .errors import ApiError
from .objects import Object

COMMON_FIELDS = ("metadata.name", "metadata.namespace")
POD_FIELDS = ("spec.nodeName", "spec.restartPolicy", "status.phase", "status.podIP")
EVENT_FIELDS = (
    "involvedObject.kind",
    "involvedObject.name",
    "involvedObject.namespace",
    "involvedObject.uid",
    "reason",
    "type",
)


@attrs.frozen(eq=False)
class Kind:
    """One resource type.

    Args:
        fields: Paths that a field selector may name, besides the common two.
        creates_on_update: PUT to a missing object creates it (Leases, Events).
        has_spec: The object carries a generation that counts changes of its spec.
    """

    group: str
    version: str
    plural: str
    singular: str
    name: str
    short_names: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    namespaced: bool = True
    creates_on_update: bool = False
    has_spec: bool = False

    @property
    def api_version(self) -> str:
        """Return "v1" or "group/version"."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """Return the plural as error texts name it: "leases.coordination.k8s.io"."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def qualified_name(self) -> str:
        """Return the kind as validation texts name it: "Lease.coordination.k8s.io"."""
        return f"{self.name}.{self.group}" if self.group else self.name

    @property
    def selectable(self) -> tuple[str, ...]:
        """Return every path that a field selector may name."""
        return COMMON_FIELDS + self.fields

    def _details(self, name: str, kind: str) -> Object:
        details: Object = {"name": name, "kind": kind}
        if self.group:
            details["group"] = self.group
        return details

    def not_found(self, name: str) -> ApiError:
        """No object of that name."""
        return ApiError(
            404,
            "NotFound",
            f'{self.qualified} "{name}" not found',
            details=self._details(name, self.plural),
        )

    def already_exists(self, name: str) -> ApiError:
        """An object of that name is there already."""
        return ApiError(
            409,
            "AlreadyExists",
            f'{self.qualified} "{name}" already exists',
            details=self._details(name, self.plural),
        )

    def conflict(self, name: str, why: str) -> ApiError:
        """The object is not the one that the writer thought it was."""
        return ApiError(
            409,
            "Conflict",
            f'Operation cannot be fulfilled on {self.qualified} "{name}": {why}',
            details=self._details(name, self.plural),
        )

    def invalid(self, name: str, *causes: tuple[str, str, str]) -> ApiError:
        """The object breaks a rule. Each cause is (reason, field, text)."""
        texts = [f"{field}: {text}" for _, field, text in causes]
        listed = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
        details = self._details(name, self.name)
        details["causes"] = [
            {"reason": reason, "message": text, "field": field} for reason, field, text in causes
        ]
        return ApiError(
            422,
            "Invalid",
            f'{self.qualified_name} "{name}" is invalid: {listed}',
            details=details,
        )


PODS = Kind(
    "", "v1", "pods", "pod", "Pod", ("po",), ("status", "binding", "eviction"), POD_FIELDS,
    has_spec=True,
)  # fmt: skip
CONFIGMAPS = Kind("", "v1", "configmaps", "configmap", "ConfigMap", ("cm",))
SECRETS = Kind("", "v1", "secrets", "secret", "Secret", fields=("type",))
SERVICES = Kind("", "v1", "services", "service", "Service", ("svc",), ("status",))
EVENTS = Kind(
    "", "v1", "events", "event", "Event", ("ev",), fields=EVENT_FIELDS, creates_on_update=True
)
NAMESPACES = Kind(
    "", "v1", "namespaces", "namespace", "Namespace", ("ns",), ("status",), ("status.phase",),
    namespaced=False,
)  # fmt: skip
NODES = Kind("", "v1", "nodes", "node", "Node", ("no",), ("status",), namespaced=False)
LEASES = Kind("coordination.k8s.io", "v1", "leases", "lease", "Lease", creates_on_update=True)
STATEFULSETS = Kind(
    "apps", "v1", "statefulsets", "statefulset", "StatefulSet", ("sts",), ("status", "scale"),
    has_spec=True,
)  # fmt: skip

KINDS: tuple[Kind, ...] = (
    PODS, CONFIGMAPS, SECRETS, SERVICES, EVENTS, NAMESPACES, NODES, LEASES, STATEFULSETS,
)  # fmt: skip

_BY_PATH = {(kind.group, kind.version, kind.plural): kind for kind in KINDS}


def kind_at(group: str, version: str, plural: str) -> Kind | None:
    """Return the kind served under this path, or None."""
    return _BY_PATH.get((group, version, plural))
