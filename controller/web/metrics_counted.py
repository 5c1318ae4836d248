"""Metrics of what this process counted since it began: the ledger's events, probes, commands.

What a newcomer gets wrong: every pod counts every event that it folds, so a sum over pods counts
each one several times; take the maximum.
"""

from collections.abc import Iterable, Iterator, Mapping
from itertools import product

from prometheus_client.core import Metric

from controller.measures import KubeTally
from controller.tally import CHANGES, OUTCOMES, REASONS, Tally
from controller.web.families import Labels, counter, from_zero, histogram
from controller.web.snapshot import Distribution
from gateway.histogram import Histogram
from statemachine.events import BY_TRIGGER
from statemachine.requests import KINDS

APPENDS = ("written", "conflict", "unknown", "unavailable", "forbidden", "refused")
VERDICTS = ("granted", "refused")
NOTICES = ("sent", "failed", "dropped")


def counted_metrics(tally: Tally) -> Iterator[Metric]:
    """What happened, by the ledger."""
    events = from_zero(((t,) for t in BY_TRIGGER), keyed(tally.events))
    yield counter("ledger_events", "Entries of the ledger, by trigger", ("trigger",), events)
    made = from_zero(((k,) for k in CHANGES), keyed(tally.changes))
    yield counter("changes", "Changes of main that were carried out", ("kind",), made)
    failed = from_zero(product(REASONS, OUTCOMES), tally.failovers)
    text = "Failovers by reason; the outcome is the loss verdict, or why nobody was promoted"
    yield counter("failovers", text, ("reason", "outcome"), failed)
    text = "From the decision to each step of a change of main; `detected` ends with the decision"
    yield histogram("change_step_seconds", text, ("kind", "step"), frozen(tally.step_s))
    text = "Times that a wanted decision was refused anew"
    yield counter("refused_decisions", text, ("trigger", "guard"), tally.refusals.items())
    answered = from_zero(product((*KINDS, "other"), VERDICTS), tally.requests)
    text = "Answers to people's requests"
    yield counter("requests_answered", text, ("kind", "verdict"), answered)
    yield from work_metrics(tally)


def work_metrics(tally: Tally) -> Iterator[Metric]:
    """What was asked of the instances."""
    names = ("instance", "outcome")
    yield counter("probes", "Probes of instances", names, tally.probes.items())
    text = "How long answered probes took"
    yield histogram("probe_seconds", text, ("instance",), frozen(tally.probe_s))
    text = "Commands that were carried out, or were not"
    yield counter("commands", text, ("command", "outcome"), tally.commands.items())
    text = "How long commands took, however they ended"
    yield histogram("command_seconds", text, ("command",), frozen(tally.command_s))
    text = "Times that an instance began to say MAIN without being appointed"
    yield counter("stray_mains_seen", text, ("instance",), keyed(tally.strays).items())


def kube_metrics(kube: KubeTally) -> Iterator[Metric]:
    """What was asked of the API server."""
    labels = ("verb", "object", "outcome")
    yield counter("kube_requests", "Requests to the API server", labels, kube.requests.items())
    text = "How long answered requests to the API server took"
    yield histogram("kube_request_seconds", text, ("verb",), frozen(kube.request_s))
    appends = from_zero(((o,) for o in APPENDS), keyed(kube.appends))
    yield counter("ledger_appends", "Writes of the ledger", ("outcome",), appends)
    text = "How long writes of the ledger took"
    yield histogram("ledger_append_seconds", text, (), [((), kube.append_s.frozen())])
    notices = from_zero(((o,) for o in NOTICES), keyed(kube.notices))
    yield counter("kube_events", "Kubernetes Events", ("outcome",), notices)


def keyed(counts: Mapping[str, int]) -> dict[Labels, int]:
    """Single words as label tuples."""
    return {(word,): count for word, count in counts.items()}


def frozen(found: Mapping[Labels, Histogram]) -> Iterable[tuple[Labels, Distribution]]:
    """The present numbers."""
    return [(labels, running.frozen()) for labels, running in found.items()]
