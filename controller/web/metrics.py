"""Prometheus metrics, computed from one Snapshot when they are asked for.

Promise: no counter is kept in here, so nothing can disagree with status. Labels are bounded: the
instances and gateways of one release, and words of closed lists; texts never become labels. What a
newcomer gets wrong: enumerations are one gauge per value, 1 for the present one, so that an alert
can name it.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from controller.web.asked import answers_of, is_observing, open_of
from controller.web.instances import (
    age_s,
    has_auth_failed,
    is_stray_main,
    names_of,
    role_by_ledger,
    row_of,
)
from controller.web.snapshot import Distribution, GatewayCounters, Snapshot, SnapshotSource
from controller.web.timings import Change, changes
from statemachine.ids import Instance, Phase, Role, RowStatus
from statemachine.route import closed_because

PREFIX = "memgraph_controller_"
ROLES = ("main", "candidate", "sync", "joining", "async", "refused", "none")


class SnapshotCollector(Collector):
    """Asks the source once per scrape."""

    def __init__(self, source: SnapshotSource) -> None:
        self._source = source

    def collect(self) -> Iterator[Metric]:
        """All families, of one picture."""
        snapshot = self._source()
        yield from cluster_metrics(snapshot)
        yield from instance_metrics(snapshot)
        yield from gateway_metrics(snapshot.gateways, snapshot.listening)
        yield from change_metrics(snapshot)
        yield from asked_metrics(snapshot)

    def describe(self) -> list[Metric]:
        """Nothing is asked of the source at registration."""
        return []


def render(source: SnapshotSource) -> bytes:
    """The text of `/metrics`, from a registry of its own."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(SnapshotCollector(source))
    return generate_latest(registry)


def gauge(name: str, text: str, value: float | None) -> Metric:
    """A gauge without labels; without a value it has no sample."""
    family = GaugeMetricFamily(PREFIX + name, text)
    if value is not None:
        family.add_metric([], value)
    return family


def labelled(
    name: str, text: str, labels: tuple[str, ...], samples: Iterable[tuple[tuple[str, ...], float]]
) -> Metric:
    """A gauge with labels."""
    family = GaugeMetricFamily(PREFIX + name, text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def cluster_metrics(snapshot: Snapshot) -> Iterator[Metric]:
    """What the ledger says, and whether this pod can read and write it."""
    cluster = snapshot.cluster
    phases = (((phase.value,), float(cluster.phase is phase)) for phase in Phase)
    yield labelled("phase", "1 for the present phase", ("phase",), phases)
    yield gauge("term", "Term of the last event", cluster.term)
    yield gauge("is_leader", "1 in the pod that leads", snapshot.is_leader)
    yield gauge("writes_open", "1 when clients may write", not closed_because(cluster))
    yield gauge("sync_set_size", "Instances that hold every write", len(cluster.sync))
    yield gauge("readers", "Replicas for the read-only gateway", len(cluster.readers))
    yield gauge("ledger_seq", "Position of the last entry of the ledger", cluster.seq)
    size = sum(len(line) for line in snapshot.ledger_lines)
    yield gauge("ledger_size_bytes", "Size of the ledger's entries", size)
    trouble = not snapshot.is_ledger_verified or bool(snapshot.ledger_trouble)
    yield gauge("ledger_trouble", "1 when the ledger is not verified", trouble)
    kube = (((what,), float(bool(text))) for what, text in snapshot.kube_trouble.items())
    yield labelled("kube_trouble", "1 when the API server cannot be used", ("what",), kube)
    yield gauge("loop_age_seconds", "Since the last turn", age_s(snapshot.now_s, _turned(snapshot)))
    refusals = refusal_counts(snapshot)
    help_text = "Decisions that are wanted and refused now"
    yield labelled("refusals", help_text, ("trigger", "guard"), refusals.items())


def _turned(snapshot: Snapshot) -> float | None:
    return snapshot.turned_at_s if snapshot.turned_at_s > float("-inf") else None


def refusal_counts(snapshot: Snapshot) -> dict[tuple[str, ...], float]:
    """Present refusals by (trigger, guard): both are names of the rule table."""
    counts: dict[tuple[str, ...], float] = {}
    for refusal in snapshot.refusals:
        key = (refusal.trigger, refusal.guard)
        counts[key] = counts.get(key, 0.0) + 1
    return counts


def instance_metrics(snapshot: Snapshot) -> Iterator[Metric]:
    """What was decided about each instance, and what is seen."""
    names = names_of(snapshot.cluster, snapshot.view)
    one, two = ("instance",), ("instance", "role")
    up = (((n,), float(snapshot.view.is_answering(n))) for n in names)
    yield labelled("instance_up", "1 when the last probe was answered, lately", one, up)
    by_ledger = (
        ((n, role), float(role_by_ledger(snapshot.cluster, n) == role))
        for n in names
        for role in ROLES
    )
    yield labelled("instance_role", "1 for the role by the ledger", two, by_ledger)
    seen = (((n, r.value), float(_says(snapshot, n, r))) for n in names for r in Role)
    yield labelled("instance_role_seen", "1 for the role that it says it has", two, seen)
    ages = (((n,), age) for n in names if (age := _answer_age_s(snapshot, n)) is not None)
    yield labelled("instance_answer_age_seconds", "Age of the last answer", one, ages)
    stray = (((n,), float(_is_stray(snapshot, n))) for n in names)
    yield labelled("instance_stray_main", "1 when it says MAIN unappointed", one, stray)
    auth = (((n,), float(has_auth_failed(snapshot.view.instance(n)))) for n in names)
    yield labelled("instance_auth_failed", "1 when it does not accept our password", one, auth)
    yield from replica_metrics(snapshot, names)


def replica_metrics(snapshot: Snapshot, names: Iterable[Instance]) -> Iterator[Metric]:
    """How the main sees its replicas."""
    rows = [(name, row) for name in names if (row := row_of(snapshot, name)) is not None]
    behind = (((n,), float(r.behind)) for n, r in rows if r.behind is not None)
    text = "Storage timestamps: negative is lag, positive means ahead of the main"
    yield labelled("replica_behind", text, ("instance",), behind)
    status = (((n, s.value), float(r.status is s)) for n, r in rows for s in RowStatus)
    yield labelled("replica_status", "1 for the main's word", ("instance", "status"), status)


def _says(snapshot: Snapshot, name: Instance, role: Role) -> bool:
    answer = snapshot.view.instance(name).answer
    return answer is not None and answer.role is role


def _answer_age_s(snapshot: Snapshot, name: Instance) -> float | None:
    answer = snapshot.view.instance(name).answer
    return age_s(snapshot.now_s, answer.at_s if answer else None)


def _is_stray(snapshot: Snapshot, name: Instance) -> bool:
    return is_stray_main(snapshot.cluster, snapshot.view.instance(name))


def gateway_metrics(
    gateways: Mapping[str, GatewayCounters], listening: Mapping[str, str]
) -> Iterator[Metric]:
    """What the gateways of this pod carry."""
    each, by = ("gateway",), gateways.items()
    up = (((k,), float(k in listening)) for k in gateways)
    yield labelled("gateway_up", "1 when it listens", each, up)
    active = (((k,), float(c.active)) for k, c in by)
    yield labelled("gateway_sessions", "Sessions relayed now", each, active)
    held = (((k,), float(c.held)) for k, c in by)
    yield labelled("gateway_held_clients", "Clients that wait for a route", each, held)
    where = (((k, i), float(n)) for k, c in by for i, n in c.sessions.items())
    text = "Sessions relayed now, by instance"
    yield labelled("gateway_instance_sessions", text, ("gateway", "instance"), where)
    term = (((k,), float(c.term)) for k, c in by if c.term is not None)
    yield labelled("gateway_route_term", "Term of the route that it follows", each, term)
    yield from gateway_counters(gateways)


def gateway_counters(gateways: Mapping[str, GatewayCounters]) -> Iterator[Metric]:
    """What they counted since the process began."""
    by = gateways.items()
    reason, direction = ("gateway", "reason"), ("gateway", "direction")
    text = "Connections taken, those refused at once included"
    yield counter("gateway_accepted", text, ("gateway",), (((k,), c.accepted) for k, c in by))
    refused = (((k, str(r)), n) for k, c in by for r, n in c.refused.items())
    yield counter("gateway_refused", "Clients turned away", reason, refused)
    ended = (((k, str(r)), n) for k, c in by for r, n in c.ended.items())
    yield counter("gateway_ended", "Sessions that are over", reason, ended)
    cut = (((k,), c.cut) for k, c in by)
    yield counter("gateway_cut", "Sessions ended by a route", ("gateway",), cut)
    failed = (((k,), c.dial_failures) for k, c in by)
    yield counter("gateway_dial_failures", "Dials that failed", ("gateway",), failed)
    relayed = (((k, d), n) for k, c in by for d, n in (("up", c.bytes_up), ("down", c.bytes_down)))
    yield counter("gateway_relayed_bytes", "Bytes to (up) and from instances", direction, relayed)
    text = "How long sessions lasted that are over"
    yield histogram("gateway_session_seconds", text, ((k, c.durations_s) for k, c in by))
    text = "From a client's connect until it was relayed"
    yield histogram("gateway_wait_seconds", text, ((k, c.waits_s) for k, c in by))


def histogram(name: str, text: str, samples: Iterable[tuple[str, Distribution]]) -> Metric:
    """A histogram of each gateway; buckets are cumulated here."""
    family = HistogramMetricFamily(PREFIX + name, text, labels=("gateway",))
    for kind, found in samples:
        bounds = [*map(str, map(float, found.bounds)), "+Inf"]
        family.add_metric(
            [kind], [*zip(bounds, accumulate(found.counts), strict=True)], found.total
        )
    return family


def counter(
    name: str, text: str, labels: tuple[str, ...], samples: Iterable[tuple[tuple[str, ...], int]]
) -> Metric:
    """A counter with labels; `_total` is added."""
    family = CounterMetricFamily(PREFIX + name, text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def change_metrics(snapshot: Snapshot) -> Iterator[Metric]:
    """Changes of main in the ledger at hand, and how long the last failover took."""
    found = changes(snapshot.ledger_lines)
    failovers = [c for c in found if c.is_failover]
    renewals = len(found) - len(failovers)
    yield gauge("ledger_failovers", "Failovers in the ledger", len(failovers))
    yield gauge("ledger_renewals", "Renewals of the main's epoch in the ledger", renewals)
    last = failovers[-1] if failovers else None
    yield labelled(
        "last_failover_seconds",
        "From the decision to each step of the last failover",
        ("step",),
        _steps(last) if last else (),
    )


def asked_metrics(snapshot: Snapshot) -> Iterator[Metric]:
    """What people have asked for. Answers are counted in the ledger at hand, as failovers are."""
    yield gauge("paused", "1 while a person has paused", snapshot.cluster.pause is not None)
    yield gauge("observing", "1 while decisions are only recorded", is_observing(snapshot))
    yield gauge("requests_open", "Requests without an answer", len(open_of(snapshot)))
    counts = Counter((a["kind"], a["verdict"]) for a in answers_of(snapshot))
    labels = ("kind", "verdict")
    yield labelled("ledger_requests", "Answers in the ledger", labels, counts.items())


def _steps(change: Change) -> Iterator[tuple[tuple[str, ...], float]]:
    if change.fenced_after_s is not None:
        yield ("fenced",), change.fenced_after_s
    if change.promoted_after_s is not None:
        yield ("promoted",), change.promoted_after_s
