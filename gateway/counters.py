"""What the gateway counts, and the frozen picture of it that others read.

Invariant: accepted = held + active + everything refused + everything ended.
"""

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType

import attrs

from gateway.reasons import Ending, Refusal


@attrs.frozen
class Counters:
    """One moment of a gateway.

    Attributes:
      accepted: connections taken from the kernel, those refused at once included.
      active: dialling, waiting for the verifier, or relayed.
      held: waiting for an upstream.
      refused, ended: by reason; a refused client never had a byte relayed.
      cut: sessions that routes have ended, since the start.
      dial_failures: refused, timed out or broken dials.
      bytes_up, bytes_down: delivered to upstreams, to clients.
      sessions: by instance, of the present route.
      term: of the present route; None before the first.
    """

    accepted: int
    active: int
    held: int
    refused: Mapping[str, int]
    ended: Mapping[str, int]
    cut: int
    dial_failures: int
    bytes_up: int
    bytes_down: int
    sessions: Mapping[str, int]
    term: int | None


class Tally:
    """The running numbers, owned by the desk."""

    def __init__(self) -> None:
        self.accepted = 0
        self.cut = 0
        self.dial_failures = 0
        self.bytes_up = 0
        self.bytes_down = 0
        self.refused: Counter[Refusal] = Counter()
        self.ended: Counter[Ending] = Counter()

    def frozen_refused(self) -> Mapping[str, int]:
        """Refusals by the reason's text."""
        return MappingProxyType({reason.value: n for reason, n in self.refused.items()})

    def frozen_ended(self) -> Mapping[str, int]:
        """Endings by the reason's text."""
        return MappingProxyType({reason.value: n for reason, n in self.ended.items()})
