"""What the adapters count: numbers alone, so that the web room need not know the adapters."""

from collections import Counter, defaultdict

from attrs import define, field

from gateway.histogram import Histogram

REQUEST_BOUNDS_S = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


@define(eq=False)
class KubeTally:
    """Requests to the API server, by verb, object and outcome; writes of the ledger once more by
    themselves, and what became of Kubernetes Events. Written by the adapters of one process."""

    requests: Counter[tuple[str, ...]] = field(factory=Counter)
    request_s: defaultdict[tuple[str, ...], Histogram] = field(
        factory=lambda: defaultdict(lambda: Histogram(REQUEST_BOUNDS_S))
    )
    appends: Counter[str] = field(factory=Counter)
    append_s: Histogram = field(factory=lambda: Histogram(REQUEST_BOUNDS_S))
    notices: Counter[str] = field(factory=Counter)
