"""The release of the documentation's examples, `memgraph` in `graphs`, on the API stand-in; and
every command that the documentation shows."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from attrs import frozen

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "tests/web"))

import web_picture as p  # noqa: E402 - found by the line above

from controller.sandbox.apiserver import (  # noqa: E402
    CONFIGMAPS,
    EVENTS,
    LEASES,
    PODS,
    SECRETS,
    SERVICES,
    STATEFULSETS,
    Store,
)

PAGES = (
    "README.md",
    "manifests/chart/memgraph-controller/README.md",
    *sorted(f.relative_to(ROOT).as_posix() for f in (ROOT / "docs").rglob("*.md")),
)
BLOCK = re.compile(r"^( *)```console\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
NAMESPACE, RELEASE = "graphs", "memgraph"
KINDS = {
    "Service": SERVICES,
    "StatefulSet": STATEFULSETS,
    "ConfigMap": CONFIGMAPS,
}


@frozen
class Shown:
    """A command and the page that shows it."""

    page: str
    text: str


def shown() -> Iterator[Shown]:
    """Every command of every page: what stands after `$ ` in a block of a console."""
    for page in PAGES:
        for _, block in BLOCK.findall((ROOT / page).read_text()):
            for line in block.replace("\\\n", " ").splitlines():
                if line.strip().startswith("$ "):
                    yield Shown(page, without_comment(line.strip()[2:]))


def without_comment(text: str) -> str:
    """The command without what is said of it at the end of its line."""
    return re.sub(r"\s+#\s.*$", "", text).strip()


def fill(store: Store) -> None:
    """The chart's objects as far as the stand-in knows their kinds, running pods, a ledger."""
    plain = (ROOT / "manifests/plain/memgraph-controller.yaml").read_text()
    for rendered in yaml.safe_load_all(plain):
        if rendered and rendered["kind"] in KINDS:
            store.create(KINDS[rendered["kind"]], NAMESPACE, rendered)
    for name in ("ledger", "requests"):
        data = p.history().data if name == "ledger" else {}
        store.create(CONFIGMAPS, NAMESPACE, {"metadata": _meta(name), "data": data})
    secret = {"metadata": {"name": "memgraph-auth"}, "type": "Opaque"}
    store.create(SECRETS, NAMESPACE, secret)
    about = {"kind": "ConfigMap", "name": "memgraph-ledger", "namespace": NAMESPACE}
    event = {"metadata": {"name": "e"}, "involvedObject": about, "reason": "x", "message": "x"}
    store.create(EVENTS, NAMESPACE, event)
    spec = {"holderIdentity": "memgraph-c", "leaseDurationSeconds": 5}
    store.create(LEASES, NAMESPACE, {"metadata": _meta("leader"), "spec": spec})
    for i in range(3):
        _add_pod(store, f"memgraph-db-{i}", "database")
    _add_pod(store, "memgraph-c", "controller")


def _meta(what: str) -> dict[str, Any]:
    labels = {"memgraph-controller/release": RELEASE, "memgraph-controller/kind": what}
    return {"name": f"{RELEASE}-{what}", "labels": labels}


def _add_pod(store: Store, name: str, component: str) -> None:
    labels = {
        "app.kubernetes.io/instance": RELEASE,
        "app.kubernetes.io/component": component,
    }
    body = {
        "metadata": {"name": name, "labels": labels},
        "spec": {"containers": [{"name": "memgraph", "image": "x"}]},
    }
    made = store.create(PODS, NAMESPACE, body)
    status = {"phase": "Running"}
    store.replace(PODS, NAMESPACE, name, {**made, "status": status}, subresource="status")


def kubeconfig(url: str) -> str:
    """A kubeconfig for the stand-in, as a file's text."""
    context = {"cluster": "box", "user": "me", "namespace": NAMESPACE}
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "box",
            "clusters": [{"name": "box", "cluster": {"server": url}}],
            "users": [{"name": "me", "user": {"token": "t"}}],
            "contexts": [{"name": "box", "context": context}],
        }
    )
