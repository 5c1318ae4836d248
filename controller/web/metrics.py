"""Prometheus metrics, computed from one Snapshot when they are asked for.

Promise: no counter is kept in here, so nothing can disagree with status. Labels are bounded: the
instances and gateways of one release, and words of closed lists; texts never become labels. What a
newcomer gets wrong: enumerations are one gauge per value, 1 for the present one, so that an alert
can name it.
"""

from collections.abc import Iterable, Iterator
from importlib.metadata import version as package_version

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from controller.tally import VERDICTS, verdict_word
from controller.web.asked import is_observing, open_of
from controller.web.families import gauge, labelled, one_of
from controller.web.instances import (
    age_s,
    has_auth_failed,
    is_stray_main,
    names_of,
    role_by_ledger,
    row_of,
)
from controller.web.metrics_counted import counted_metrics, kube_metrics
from controller.web.metrics_gateway import gateway_metrics
from controller.web.snapshot import POLICY_STATES, Snapshot, SnapshotSource
from controller.web.status import problems
from controller.web.timings import Change, changes
from statemachine.ids import Instance, Phase, Role, RowStatus
from statemachine.route import closed_because

LEDGER_BYTES_MAX = 1_048_576  # of all values of a ConfigMap
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
        yield from gateway_metrics(snapshot)
        yield from change_metrics(snapshot)
        yield from asked_metrics(snapshot)
        yield from counted_metrics(snapshot.tally)
        yield from kube_metrics(snapshot.kube_tally)
        yield from pod_metrics(snapshot)

    def describe(self) -> list[Metric]:
        """Nothing is asked of the source at registration."""
        return []


def render(source: SnapshotSource) -> bytes:
    """The text of `/metrics`, from a registry of its own."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(SnapshotCollector(source))
    ProcessCollector(registry=registry)
    return generate_latest(registry)


def cluster_metrics(snapshot: Snapshot) -> Iterator[Metric]:
    """What the ledger says, and whether this pod can read and write it."""
    cluster = snapshot.cluster
    phases = (((phase.value,), float(cluster.phase is phase)) for phase in Phase)
    yield labelled("phase", "1 for the present phase", ("phase",), phases)
    yield gauge("term", "Term of the last event", cluster.term)
    yield gauge("main_term", "Term in which the main was given to clients", cluster.main_term)
    main = (((cluster.main,), 1.0),) if cluster.main else ()
    yield labelled("main_info", "1 for the appointed main", ("instance",), main)
    leader = (((cluster.leader,), 1.0),) if cluster.leader else ()
    yield labelled("leader_info", "1 for the leader by the ledger", ("leader",), leader)
    yield gauge("is_leader", "1 in the pod that leads", snapshot.is_leader)
    yield gauge("writes_open", "1 when clients may write", not closed_because(cluster))
    yield gauge("sync_set_size", "Instances that hold every write", len(cluster.sync))
    yield gauge("readers", "Replicas for the read-only gateway", len(cluster.readers))
    yield from ledger_metrics(snapshot)
    kube = (((what,), float(bool(text))) for what, text in snapshot.kube_trouble.items())
    yield labelled("kube_trouble", "1 when the API server cannot be used", ("what",), kube)
    yield gauge("loop_age_seconds", "Since the last turn", age_s(snapshot.now_s, _turned(snapshot)))
    refusals = refusal_counts(snapshot)
    help_text = "Decisions that are wanted and refused now"
    yield labelled("refusals", help_text, ("trigger", "guard"), refusals.items())
    found = problems(snapshot)
    yield gauge("healthy", "1 when /health has nothing to say", not found)
    yield gauge("problems", "Sentences that /health says", len(found))


def ledger_metrics(snapshot: Snapshot) -> Iterator[Metric]:
    """The history that this pod acts on."""
    cluster = snapshot.cluster
    yield gauge("ledger_seq", "Position of the last entry of the ledger", cluster.seq)
    head = (((str(cluster.seq), snapshot.ledger_head), 1.0),) if snapshot.ledger_head else ()
    text = "1, with the position and the hash of the last entry"
    yield labelled("ledger_head_info", text, ("seq", "hash"), head)
    yield gauge("ledger_entries", "Entries of the live part", len(snapshot.ledger_lines))
    size = sum(len(line) for line in snapshot.ledger_lines)
    yield gauge("ledger_size_bytes", "Size of the live part's entries", size)
    yield gauge("ledger_size_max_bytes", "What a ConfigMap holds", LEDGER_BYTES_MAX)
    trouble = not snapshot.is_ledger_verified or bool(snapshot.ledger_trouble)
    yield gauge("ledger_trouble", "1 when the ledger is not verified", trouble)
    text = "Archives for want of which this pod stays behind the stored ledger"
    yield gauge("ledger_archives_missing", text, len(snapshot.missing_archives))
    text = "Since the last confirmed quorum read of the ledger's head was sent"
    yield gauge("ledger_read_age_seconds", text, age_s(snapshot.now_s, snapshot.head_age_from_s))


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
    refused = (((n,), float(snapshot.cluster.refusal_of(n) is not None)) for n in names)
    yield labelled("instance_refused", "1 when the main refuses its data", one, refused)
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


def change_metrics(snapshot: Snapshot) -> Iterator[Metric]:
    """The last failover that the ledger tells of, and what it may have lost."""
    failovers = [c for c in changes(snapshot.told_lines) if c.is_failover]
    last = failovers[-1] if failovers else None
    text = "From the decision to each step of the last failover in the ledger"
    yield labelled("last_failover_seconds", text, ("step",), _steps(last) if last else ())
    verdict, text = verdict_word(snapshot.cluster.verdict), "1 for what the last change may lose"
    yield one_of("loss_verdict", text, "verdict", VERDICTS, verdict)


def asked_metrics(snapshot: Snapshot) -> Iterator[Metric]:
    """What people have asked for."""
    pause = snapshot.cluster.pause
    yield gauge("paused", "1 while a person has paused", pause is not None)
    until_s = pause.until_s if pause else None
    yield gauge("pause_until_timestamp_seconds", "When the pause ends", until_s)
    yield gauge("observing", "1 while decisions are only recorded", is_observing(snapshot))
    waiting = open_of(snapshot)
    yield gauge("requests_open", "Requests without an answer", len(waiting))
    oldest = max((snapshot.now_s - r.since_s for r in waiting), default=None)
    yield gauge("requests_oldest_age_seconds", "Since the oldest of them was seen", oldest)


def pod_metrics(snapshot: Snapshot) -> Iterator[Metric]:
    """What this pod is, and what it found around it."""
    version = (((package_version("memgraph-controller"),), 1.0),)
    yield labelled("build_info", "1, with the version that runs", ("version",), version)
    ends = (((what,), end_s) for what, end_s in snapshot.certificates.items())
    text = "End of the earliest certificate in a file that is in use"
    yield labelled("certificate_not_after_timestamp_seconds", text, ("certificate",), ends)
    text = "1 for what this pod found when it tried a port that the NetworkPolicy forbids"
    yield one_of("network_policy", text, "state", POLICY_STATES, snapshot.network_policy)


def _steps(change: Change) -> Iterator[tuple[tuple[str, ...], float]]:
    if change.fenced_after_s is not None:
        yield ("fenced",), change.fenced_after_s
    if change.promoted_after_s is not None:
        yield ("promoted",), change.promoted_after_s
