"""Metrics: Prometheus' own parser reads them, names and labels are what dashboards count on."""

import web_picture as p
from prometheus_client.parser import text_string_to_metric_families

from controller.web import Snapshot
from controller.web.families import PREFIX
from controller.web.metrics import render
from statemachine.cluster import Cluster
from statemachine.ids import Role
from statemachine.observations import Failure

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def samples(snapshot: Snapshot) -> Samples:
    """Name without the prefix, and labels -> value."""
    text = render(lambda: snapshot).decode()
    return {
        (s.name.removeprefix(PREFIX), frozenset(s.labels.items())): s.value
        for family in text_string_to_metric_families(text)
        for s in family.samples
    }


def value(found: Samples, name: str, **labels: str) -> float:
    return found[name, frozenset(labels.items())]


def test_a_healthy_cluster_in_numbers() -> None:
    """Phase, term, roles, lag and gateway counters are there under their names."""
    found = samples(p.snapshot())
    assert value(found, "phase", phase="OPERATIONAL") == 1
    assert value(found, "phase", phase="FAILOVER") == 0
    assert value(found, "term") == 8
    assert value(found, "is_leader") == 1
    assert value(found, "writes_open") == 1
    assert value(found, "sync_set_size") == 2
    assert value(found, "ledger_seq") == 41
    assert value(found, "ledger_trouble") == 0
    assert value(found, "instance_up", instance="memgraph-1") == 1
    assert value(found, "instance_role", instance="memgraph-1", role="main") == 1
    assert value(found, "instance_role", instance="memgraph-0", role="sync") == 1
    assert value(found, "instance_role_seen", instance="memgraph-0", role="replica") == 1
    assert value(found, "replica_behind", instance="memgraph-2") == -2
    assert value(found, "replica_status", instance="memgraph-0", status="ready") == 1
    assert value(found, "gateway_accepted_total", gateway="rw") == 12
    assert value(found, "gateway_refused_total", gateway="rw", reason="no_route") == 5
    assert value(found, "gateway_relayed_bytes_total", gateway="rw", direction="down") == 2000
    assert value(found, "gateway_sessions", gateway="rw") == 3
    assert value(found, "gateway_instance_sessions", gateway="rw", instance="memgraph-1") == 3
    assert value(found, "gateway_route_term", gateway="ro") == 8
    assert value(found, "kube_trouble", what="pods") == 0


def test_troubles_are_gauges() -> None:
    """Scenario 101: an alert sees a failing prober, a second main, a broken ledger, a refusal."""
    seen = p.failing(p.view(), p.M2, Failure.AUTH, "no", 3.0)
    seen = p.without(seen, p.M0, answer=p.answer(p.M0, Role.MAIN))
    found = samples(
        p.snapshot(
            view=seen,
            ledger_trouble="entry 7",
            missing_archives=(3, 4),
            kube_trouble={"pods": "403"},
            refusals=(p.REFUSAL,),
            listening={},
        )
    )
    assert value(found, "instance_up", instance="memgraph-2") == 0
    assert value(found, "instance_auth_failed", instance="memgraph-2") == 1
    assert value(found, "instance_stray_main", instance="memgraph-0") == 1
    assert value(found, "ledger_trouble") == 1
    assert value(found, "ledger_archives_missing") == 2
    assert value(found, "kube_trouble", what="pods") == 1
    assert value(found, "refusals", trigger="main_lost", guard="vantages_agree") == 1
    assert value(found, "gateway_up", gateway="rw") == 0


def test_the_last_failover_has_its_durations() -> None:
    """From the ledger: seconds from the decision to each step; renewals are counted apart."""
    ledger = p.history()
    found = samples(p.snapshot(cluster=ledger.cluster, ledger_lines=ledger.lines))
    assert value(found, "last_failover_seconds", step="fenced") == 0.25
    assert value(found, "last_failover_seconds", step="promoted") == 0.9


def test_a_pod_that_knows_nothing_yet_has_metrics() -> None:
    """Before the first turn there are samples, and none of them is infinite."""
    bare = p.snapshot(
        cluster=Cluster(),
        view=p.View(p.view().policy),
        turned_at_s=float("-inf"),
        gateways={"rw": p.FakeCounters(term=None)},
    )
    found = samples(bare)
    assert value(found, "phase", phase="BOOTSTRAP") == 1
    assert all(abs(v) < 1e12 for v in found.values())
    assert ("gateway_route_term", frozenset({("gateway", "rw")})) not in found


def test_histograms_are_cumulated() -> None:
    """Buckets hold everything up to their bound; count and sum are of all sessions."""
    found = samples(p.snapshot(gateways={"rw": p.FakeCounters()}))
    buckets = [
        value(found, "gateway_session_seconds_bucket", gateway="rw", le=bound)
        for bound in ("1.0", "10.0", "+Inf")
    ]
    assert buckets == [2, 5, 6]
    assert value(found, "gateway_session_seconds_count", gateway="rw") == 6
    assert value(found, "gateway_session_seconds_sum", gateway="rw") == 40


def test_names_keep_the_conventions() -> None:
    """Every family is ours, has a help text, and no label value is a free text."""
    text = render(lambda: p.snapshot(kube_trouble={"pods": "a long text"})).decode()
    families = list(text_string_to_metric_families(text))
    assert len(families) > 25
    for family in families:
        assert family.name.startswith((PREFIX, "process_"))
        assert family.documentation
        is_counted = all(s.name.endswith("_total") for s in family.samples)
        assert is_counted if family.type == "counter" else not (family.samples and is_counted)
        assert not any(" " in v for s in family.samples for v in s.labels.values())
