"""Metric families in Prometheus' form, from plain numbers.

Promise: every name gets our prefix; a family without a sample is still told by name and help, so
that what is exposed does not depend on what happened so far.
"""

from collections.abc import Iterable, Mapping
from itertools import accumulate

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from controller.web.snapshot import Distribution

PREFIX = "memgraph_controller_"
Labels = tuple[str, ...]


def gauge(name: str, text: str, value: float | None) -> Metric:
    """A gauge without labels; without a value it has no sample."""
    family = GaugeMetricFamily(PREFIX + name, text)
    if value is not None:
        family.add_metric([], value)
    return family


def labelled(
    name: str, text: str, labels: Labels, samples: Iterable[tuple[Labels, float]]
) -> Metric:
    """A gauge with labels."""
    family = GaugeMetricFamily(PREFIX + name, text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def one_of(name: str, text: str, label: str, words: Iterable[str], present: str | None) -> Metric:
    """An enumeration: one gauge for each word, 1 for the present one."""
    return labelled(name, text, (label,), (((word,), float(word == present)) for word in words))


def counter(name: str, text: str, labels: Labels, samples: Iterable[tuple[Labels, int]]) -> Metric:
    """A counter with labels; `_total` is added."""
    family = CounterMetricFamily(PREFIX + name, text, labels=labels)
    for values, value in samples:
        family.add_metric(values, value)
    return family


def from_zero(
    closed: Iterable[Labels], counts: Mapping[Labels, int]
) -> Iterable[tuple[Labels, int]]:
    """The counts, and 0 for every other combination of a closed list: the first event is then an
    increase too."""
    return {**dict.fromkeys(closed, 0), **counts}.items()


def histogram(
    name: str, text: str, labels: Labels, samples: Iterable[tuple[Labels, Distribution]]
) -> Metric:
    """A histogram with labels; buckets are cumulated here."""
    family = HistogramMetricFamily(PREFIX + name, text, labels=labels)
    for values, found in samples:
        bounds = [*map(str, map(float, found.bounds)), "+Inf"]
        buckets = [*zip(bounds, accumulate(found.counts), strict=True)]
        family.add_metric(values, buckets, found.total)
    return family
