"""Metrics of the gateways of this pod, from what they count themselves."""

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client.core import Metric

from controller.web.families import counter, gauge, histogram, labelled
from controller.web.instances import age_s
from controller.web.snapshot import GatewayCounters, Snapshot


def gateway_metrics(snapshot: Snapshot) -> Iterator[Metric]:
    """What the gateways of this pod carry."""
    gateways = snapshot.gateways
    each, by = ("gateway",), gateways.items()
    up = (((k,), float(k in snapshot.listening)) for k in gateways)
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
    since = snapshot.routed_at_s.items()
    ages = (((k,), age) for k, at_s in since if (age := age_s(snapshot.now_s, at_s)) is not None)
    text = "Since it follows its present route"
    yield labelled("gateway_route_age_seconds", text, each, ages)
    text = "1 when RW of this pod closed itself: the ledger's head or its own Lease is too old"
    yield gauge("gateway_fenced", text, snapshot.is_fenced)
    text = "Relay processes that ended by themselves and were started again"
    yield counter("gateway_worker_restarts", text, (), [((), snapshot.worker_restarts)])
    leases = (
        ((g.facts.pod,), age)
        for g in snapshot.view.gateways
        if (age := age_s(snapshot.now_s, g.changed_at_s)) is not None
    )
    text = "Since this pod saw the gateway Lease of a pod move"
    yield labelled("gateway_lease_age_seconds", text, ("pod",), leases)
    yield from gateway_counters(gateways)


def _bytes_by(
    by: Iterable[tuple[str, GatewayCounters]],
) -> Iterator[tuple[tuple[str, str, str], int]]:
    for kind, counters in by:
        for direction, found in (("up", counters.bytes_up_by), ("down", counters.bytes_down_by)):
            yield from (((kind, instance, direction), n) for instance, n in found.items())


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
    terms = (((k, t), n) for k, c in by for t, n in c.cut_by_term.items())
    text = "The same by the route's term, of the last terms"
    yield counter("gateway_cut_by_term", text, ("gateway", "term"), terms)
    drained = (((k, t), n) for k, c in by for t, n in c.drained_by_term.items())
    text = "Of these the ones that ended between two requests, in a planned change"
    yield counter("gateway_drained_by_term", text, ("gateway", "term"), drained)
    failed = (((k,), c.dial_failures) for k, c in by)
    yield counter("gateway_dial_failures", "Dials that failed", ("gateway",), failed)
    whose = (((k, i), n) for k, c in by for i, n in c.failed_dials.items())
    text = "The same by instance"
    yield counter("gateway_instance_dial_failures", text, ("gateway", "instance"), whose)
    relayed = (((k, d), n) for k, c in by for d, n in (("up", c.bytes_up), ("down", c.bytes_down)))
    yield counter("gateway_relayed_bytes", "Bytes to (up) and from instances", direction, relayed)
    which = ("gateway", "instance", "direction")
    yield counter("gateway_instance_relayed_bytes", "The same by instance", which, _bytes_by(by))
    text = "How long sessions lasted that are over"
    lasted = (((k,), c.durations_s) for k, c in by)
    yield histogram("gateway_session_seconds", text, ("gateway",), lasted)
    text = "From a client's connect until it was relayed"
    waited = (((k,), c.waits_s) for k, c in by)
    yield histogram("gateway_wait_seconds", text, ("gateway",), waited)
    dialled = (((k,), c.dials_s) for k, c in by)
    text = "How long dials took that were answered, TLS included"
    yield histogram("gateway_dial_seconds", text, ("gateway",), dialled)
