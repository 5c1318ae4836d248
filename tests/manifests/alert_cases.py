"""Series for each alert: such as make it fire, and such as must not.

A case lists series (metric, values in promtool's notation, one each 15 s, labels), the moment
that is looked at, and the labels that the firing alert has then; None: it is silent.
"""

from typing import Any

from attrs import frozen

STEP_S = 15
MATCHERS = 'namespace="default",job="memgraph"'
DAY_S = 86400


@frozen
class Case:
    """What is seen, and whether it is a reason to call somebody."""

    alert: str
    series: tuple[tuple[str, str, str], ...]
    at: str
    fires: dict[str, str] | None


def fires(alert: str, at: str, *series: tuple[str, str, str], **labels: str) -> Case:
    """A case in which the alert fires, with these labels."""
    return Case(alert, series, at, labels)


def silent(alert: str, at: str, *series: tuple[str, str, str]) -> Case:
    """A case in which nobody is called."""
    return Case(alert, series, at, None)


def s(metric: str, values: str, labels: str = 'pod="c-0"') -> tuple[str, str, str]:
    """One series of this release."""
    return (metric, values, labels)


def phase(name: str, values: str) -> tuple[str, str, str]:
    """The gauge of one phase."""
    return s("phase", values, f'pod="c-0",phase="{name}"')


WRITES = (
    fires("MemgraphWritesClosed", "2m", s("writes_open", "0x20"), s("gateway_fenced", "0x20")),
    # by the ledger writes are open, and yet each gateway has closed itself
    fires("MemgraphWritesClosed", "2m", s("writes_open", "1x20"), s("gateway_fenced", "1x20")),
    # one of two gateways is closed: clients reach the other
    silent(
        "MemgraphWritesClosed",
        "2m",
        s("writes_open", "1x20"),
        s("gateway_fenced", "1x20"),
        s("writes_open", "1x20", 'pod="c-1"'),
        s("gateway_fenced", "0x20", 'pod="c-1"'),
    ),
    # a failover of 15 s
    silent(
        "MemgraphWritesClosed", "2m", s("writes_open", "1 1 0 1x9"), s("gateway_fenced", "0x20")
    ),
    fires("MemgraphGatewayFenced", "2m", s("gateway_fenced", "0 1x20"), pod="c-0"),
    silent("MemgraphGatewayFenced", "2m", s("gateway_fenced", "0x20")),
    fires(
        "MemgraphGatewayFull",
        "5m",
        s("gateway_refused_total", "0x9 5x20", 'pod="c-0",gateway="rw",reason="max_connections"'),
        gateway="rw",
        pod="c-0",
    ),
    silent(  # what a failover does to clients is no lack of room
        "MemgraphGatewayFull",
        "5m",
        s("gateway_refused_total", "0x9 5x20", 'pod="c-0",gateway="rw",reason="no_route"'),
    ),
    fires("MemgraphRelayRestarts", "5m", s("gateway_worker_restarts_total", "0x9 1x20"), pod="c-0"),
    silent("MemgraphRelayRestarts", "5m", s("gateway_worker_restarts_total", "3x30")),
)

PHASES = (
    fires("MemgraphNotBegun", "15m", phase("BOOTSTRAP", "1x60")),
    silent("MemgraphNotBegun", "5m", phase("BOOTSTRAP", "1x60")),
    fires("MemgraphNoSync", "5m", s("sync_set_size", "1x40"), phase("BOOTSTRAP", "0x40")),
    silent("MemgraphNoSync", "5m", s("sync_set_size", "2x40"), phase("BOOTSTRAP", "0x40")),
    silent("MemgraphNoSync", "5m", s("sync_set_size", "0x40"), phase("BOOTSTRAP", "1x40")),
    fires("MemgraphDegraded", "20m", phase("DEGRADED", "1x80")),
    silent("MemgraphDegraded", "20m", phase("DEGRADED", "1x40 0 1x40")),
)

CHANGES = (
    fires("MemgraphFailedOver", "5m", s("changes_total", "0x9 1x20", 'pod="c-0",kind="failover"')),
    silent(  # planned
        "MemgraphFailedOver", "5m", s("changes_total", "0x9 1x20", 'pod="c-0",kind="switchover"')
    ),
    silent(  # a pod that began after it
        "MemgraphFailedOver", "5m", s("changes_total", "_x9 1x20", 'pod="c-0",kind="failover"')
    ),
    fires(
        "MemgraphWritesMayBeLost",
        "30m",
        s("failovers_total", "0x9 1x200", 'pod="c-0",reason="main_silent",outcome="at_most_one"'),
        outcome="at_most_one",
    ),
    silent(
        "MemgraphWritesMayBeLost",
        "30m",
        s("failovers_total", "0x9 1x200", 'pod="c-0",reason="main_refuses",outcome="none"'),
    ),
)

INSTANCES = (
    fires(
        "MemgraphInstanceRefused",
        "6m",
        s("instance_refused", "1x40", 'pod="c-0",instance="m-1"'),
        instance="m-1",
    ),
    fires(
        "MemgraphInstanceRefused",
        "6m",
        s("replica_status", "1x40", 'pod="c-0",instance="m-1",status="diverged"'),
        instance="m-1",
    ),
    silent(
        "MemgraphInstanceRefused",
        "6m",
        s("instance_refused", "0x40", 'pod="c-0",instance="m-1"'),
        s("replica_status", "1x40", 'pod="c-0",instance="m-1",status="recovery"'),
    ),
    fires(
        "MemgraphStrayMain",
        "5m",
        s("stray_mains_seen_total", "0x9 1x40", 'pod="c-0",instance="m-1"'),
        instance="m-1",
    ),
    silent(
        "MemgraphStrayMain",
        "5m",
        s("stray_mains_seen_total", "1x40", 'pod="c-0",instance="m-1"'),
        s("instance_stray_main", "0x40", 'pod="c-0",instance="m-1"'),
    ),
    fires(
        "MemgraphInstanceDown",
        "6m",
        s("instance_up", "0x40", 'pod="c-0",instance="m-1"'),
        instance="m-1",
    ),
    silent(  # one controller pod does not reach it, the other does
        "MemgraphInstanceDown",
        "6m",
        s("instance_up", "0x40", 'pod="c-0",instance="m-1"'),
        s("instance_up", "1x40", 'pod="c-1",instance="m-1"'),
    ),
    fires(
        "MemgraphPasswordRefused",
        "3m",
        s("instance_auth_failed", "1x40", 'pod="c-0",instance="m-1"'),
        instance="m-1",
    ),
    silent(
        "MemgraphPasswordRefused",
        "3m",
        s("instance_auth_failed", "0x40", 'pod="c-0",instance="m-1"'),
    ),
    fires(
        "MemgraphReplicaLags",
        "20m",
        s("replica_behind", "-20000x100", 'pod="c-0",instance="m-2"'),
        instance="m-2",
    ),
    silent(
        "MemgraphReplicaLags", "20m", s("replica_behind", "-20x100", 'pod="c-0",instance="m-2"')
    ),
)

LEDGER = (
    fires("MemgraphLedgerBroken", "3m", s("ledger_trouble", "1x40")),
    silent("MemgraphLedgerBroken", "3m", s("ledger_trouble", "0 1 0x40")),
    fires(
        "MemgraphLedgerNearlyFull",
        "6m",
        s("ledger_size_bytes", "800000x40"),
        s("ledger_size_max_bytes", "1048576x40"),
    ),
    silent(
        "MemgraphLedgerNearlyFull",
        "6m",
        s("ledger_size_bytes", "131072x40"),
        s("ledger_size_max_bytes", "1048576x40"),
    ),
)

AROUND = (
    fires(
        "MemgraphCertificateExpiring",
        "20m",
        s(
            "certificate_not_after_timestamp_seconds",
            f"{13 * DAY_S}x100",
            'pod="c-0",certificate="gateway"',
        ),
        certificate="gateway",
    ),
    silent(
        "MemgraphCertificateExpiring",
        "20m",
        s(
            "certificate_not_after_timestamp_seconds",
            f"{30 * DAY_S}x100",
            'pod="c-0",certificate="gateway"',
        ),
    ),
    fires(
        "MemgraphCertificateExpired",
        "1h",
        s("certificate_not_after_timestamp_seconds", "1800x300", 'pod="c-0",certificate="gateway"'),
        certificate="gateway",
    ),
    silent(
        "MemgraphCertificateExpired",
        "1h",
        s(
            "certificate_not_after_timestamp_seconds",
            f"{3 * DAY_S}x300",
            'pod="c-0",certificate="gateway"',
        ),
    ),
    fires("MemgraphNoLeader", "2m", s("is_leader", "0x20"), s("is_leader", "0x20", 'pod="c-1"')),
    silent("MemgraphNoLeader", "2m", s("is_leader", "0x20"), s("is_leader", "1x20", 'pod="c-1"')),
    fires(
        "MemgraphLeaderFlapping",
        "10m",
        s("ledger_events_total", "0 1 2 3 4 5x40", 'pod="c-0",trigger="leader_elected"'),
    ),
    silent(  # three pods that have each seen the same two elections
        "MemgraphLeaderFlapping",
        "10m",
        *(
            s("ledger_events_total", "0 1 2x40", f'pod="c-{n}",trigger="leader_elected"')
            for n in range(3)
        ),
    ),
    fires("MemgraphRequestsWaiting", "6m", s("requests_open", "9x40")),
    silent("MemgraphRequestsWaiting", "6m", s("requests_open", "2x40")),
    fires(
        "MemgraphNetworkPolicyNotEnforced",
        "20m",
        s("network_policy", "1x100", 'pod="c-0",state="not_enforced"'),
    ),
    silent(
        "MemgraphNetworkPolicyNotEnforced",
        "20m",
        s("network_policy", "0x100", 'pod="c-0",state="not_enforced"'),
        s("network_policy", "1x100", 'pod="c-0",state="unknown"'),
    ),
    fires("MemgraphPausedLong", "70m", s("paused", "1x300"), s("observing", "0x300")),
    fires("MemgraphPausedLong", "70m", s("paused", "0x300"), s("observing", "1x300")),
    silent("MemgraphPausedLong", "50m", s("paused", "1x300"), s("observing", "0x300")),
    fires(
        "MemgraphApiServerTrouble",
        "4m",
        s("kube_trouble", "1x40", 'pod="c-0",what="pods"'),
        what="pods",
    ),
    silent("MemgraphApiServerTrouble", "4m", s("kube_trouble", "0x40", 'pod="c-0",what="pods"')),
    fires("MemgraphControllerDown", "4m", s("", "0x40")),
    silent("MemgraphControllerDown", "4m", s("", "0x40"), s("", "1x40", 'pod="c-1"')),
    fires("MemgraphControllerPodDown", "6m", s("", "0x40"), s("", "1x40", 'pod="c-1"'), pod="c-0"),
    silent("MemgraphControllerPodDown", "6m", s("", "1x40"), s("", "1x40", 'pod="c-1"')),
)

CASES = (*WRITES, *PHASES, *CHANGES, *INSTANCES, *LEDGER, *AROUND)


def promtool_tests(rules: str, severities: dict[str, str]) -> dict[str, Any]:
    """The cases as a file of `promtool test rules`: each is asked for the alerts that fire."""
    return {
        "rule_files": [rules],
        "evaluation_interval": f"{STEP_S}s",
        "tests": [_test(case, severities[case.alert]) for case in CASES],
    }


def _test(case: Case, severity: str) -> dict[str, Any]:
    firing = f'alertname="{case.alert}",alertstate="firing"'
    labels = ",".join(f'{k}="{v}"' for k, v in (case.fires or {}).items())
    sample = {"labels": f'ALERTS{{{firing},severity="{severity}",{labels}}}', "value": 1}
    return {
        "name": f"{case.alert} {'fires' if case.fires is not None else 'is silent'}",
        "interval": f"{STEP_S}s",
        "input_series": [
            {"series": _name(metric, labels), "values": values}
            for metric, values, labels in case.series
        ],
        "promql_expr_test": [
            {
                "expr": f"ALERTS{{{firing}}}",
                "eval_time": case.at,
                "exp_samples": [] if case.fires is None else [sample],
            }
        ],
    }


def _name(metric: str, labels: str) -> str:
    full = f"memgraph_controller_{metric}" if metric else "up"
    return f"{full}{{{MATCHERS},{labels}}}"
