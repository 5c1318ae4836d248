"""From what the API server holds to a verified picture; or from a controller's own status.

Promise: the ledger is verified here, line by line; what stands after the first wrong line is not
shown as history. What a newcomer gets wrong: only a controller has probed the instances; without
one that can be asked, roles seen and lag are unknown, and said to be.
"""

import json
import re
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from attrs import frozen

from controller.cli.exits import NOT_FOUND, Problem
from controller.cli.reading import ANSWER_TIMEOUT_S, Json, Release
from controller.kube import KubeNames, gateway_facts_of, pod_facts_of, stored_ledger_of
from controller.web import Snapshot, status_document
from controller.web.instances import names_of
from statemachine.codec import LedgerCorrupt
from statemachine.ids import Instance
from statemachine.ledger import Ledger, based_on, fold, fold_lines
from statemachine.observations import PodFacts
from statemachine.snapshot import SNAPSHOT_KEY
from statemachine.view import GatewayView, InstanceView, Policy, View

STATUS_PATH = "/api/v1/status"
COMPONENT_LABEL = "app.kubernetes.io/component"
ASKED_MAX = 3  # controller pods that are asked before we do without


@frozen
class Verified:
    """The part of a ledger that was verified, and what is wrong with the rest; "" = nothing."""

    ledger: Ledger
    trouble: str


def verify(data: Mapping[str, str]) -> Verified:
    """Fold as much as can be verified."""
    try:
        return Verified(fold(data), "")
    except LedgerCorrupt as error:
        trouble = str(error)
    ledger = _base_of(data)
    for key in sorted(data.keys() - {SNAPSHOT_KEY}):
        try:
            ledger = fold_lines(ledger, {key: data[key]})
        except LedgerCorrupt:
            break
    return Verified(ledger, trouble)


def _base_of(data: Mapping[str, str]) -> Ledger:
    try:
        return based_on(data.get(SNAPSHOT_KEY))
    except LedgerCorrupt:
        return Ledger()


def verified_of(release: Release) -> Verified:
    """The release's ledger, verified. Raises Problem."""
    return verify(stored_ledger_of(release.ledger()).data)


def status_of(release: Release, http_port: int, now: datetime) -> Json:
    """The status of a release: asked of a controller through the API server; when none can be
    asked, put together from ledger, pods and gateway Leases. `source` says which.

    Raises Problem when the ledger cannot be read.
    """
    config_map = release.ledger()
    pods, leases = release.pods(), release.gateway_leases()
    verified = verify(stored_ledger_of(config_map).data)
    pods += release.pods_named(_unseen(verified, pods))
    answered = _ask_controllers(release, pods, verified.ledger.cluster.leader, http_port)
    if answered is not None:
        return answered
    snapshot = picture(release.names, verified, pods, leases, now)
    document: Json = {"source": "ledger", **status_document(snapshot, now)}
    for instance in document["instances"]:
        instance["role_seen"] = _by_vantage(instance["name"], snapshot.view.gateways)
    return document


def _unseen(verified: Verified, pods: Sequence[Json]) -> set[str]:
    known = names_of(verified.ledger.cluster, View(Policy(eligible=())))
    return {str(name) for name in known} - {pod_facts_of(p).name for p in pods}


def _ask_controllers(
    release: Release, pods: Sequence[Json], leader: str, http_port: int
) -> Json | None:
    names = [pod_facts_of(p).name for p in pods if is_controller(p) and pod_facts_of(p).ip]
    for name in sorted(names, key=lambda n: not leader.startswith(n))[:ASKED_MAX]:
        try:
            found = release.ask_pod(name, http_port, STATUS_PATH)
        except Problem:
            continue  # no right to do so, or it is not there: another one, or the ledger alone
        if "instances" in found:
            return {"source": f"controller {name}"} | found
    return None


def status_at(url: str) -> Json:
    """The status that a controller gives at its HTTP address. Raises Problem."""
    address = url.rstrip("/") + STATUS_PATH
    if not address.startswith(("http://", "https://")):
        raise Problem(f"--url wants http://host:port, not {url}", NOT_FOUND)
    try:
        with urllib.request.urlopen(address, timeout=ANSWER_TIMEOUT_S) as response:
            found = json.load(response)
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise Problem(f"{address} does not answer: {error}", NOT_FOUND) from error
    if not isinstance(found, dict) or "instances" not in found:
        raise Problem(f"{address} is not a memgraph-controller", NOT_FOUND)
    return {"source": url} | found


def is_controller(pod: Json) -> bool:
    """Whether the pod runs this program and not a database."""
    labels = pod.get("metadata", {}).get("labels") or {}
    return bool(labels.get(COMPONENT_LABEL) == "controller")


def picture(
    names: KubeNames,
    verified: Verified,
    pods: Sequence[Json],
    leases: Sequence[Json],
    now: datetime,
) -> Snapshot:
    """A Snapshot without any probe: ages count from `now`, which is 0 of its clock."""
    databases = [pod_facts_of(p) for p in pods if not is_controller(p)]
    instances = [p for p in databases if re.search(r"-\d+$", p.name)]
    view = View(
        Policy(eligible=()),
        instances=tuple(_seen(p) for p in instances),
        gateways=tuple(
            GatewayView(gateway_facts_of(names, lease), -lease_age_s(lease, now))
            for lease in leases
        ),
        pods_known=True,
    )
    return Snapshot(
        cluster=verified.ledger.cluster,
        view=view,
        started_at=now,
        now_s=0.0,
        turned_at_s=0.0,
        ledger_lines=verified.ledger.lines,
        is_ledger_verified=not verified.trouble,
        ledger_trouble=verified.trouble,
    )


def _seen(pod: PodFacts) -> InstanceView:
    return InstanceView(Instance(pod.name), pod)


def lease_age_s(lease: Json, now: datetime) -> float:
    """Since the last renewal by the Lease's own wall clock: good enough for people."""
    try:
        renewed = datetime.fromisoformat(str(lease["spec"]["renewTime"]))
        return max(0.0, (now - renewed).total_seconds())
    except (KeyError, TypeError, ValueError):
        return 0.0


def _by_vantage(instance: str, gateways: Sequence[GatewayView]) -> str:
    """What the controllers say in their Leases: "answers 2/2", or how it fails."""
    said = [g.facts.vantage.get(instance, "unseen") for g in gateways]
    if not said or set(said) == {"unseen"}:
        return "unseen"
    fine = said.count("ok")
    if fine:
        return f"answers {fine}/{len(said)}"
    return "/".join(sorted(set(said)))


def utc_now() -> datetime:
    """Wall time, for ages that people read."""
    return datetime.now(UTC)


def entries_of(ledger: Ledger, since: int) -> list[dict[str, Any]]:
    """The verified entries after `since`, as objects."""
    return [e for e in map(json.loads, ledger.lines) if e["seq"] > since]
