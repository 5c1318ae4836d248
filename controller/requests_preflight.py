"""What stands for and against a request, guard by guard, by what one pod sees at this moment.

Promise: pure, and asked of the same guards in the same rows as the decision itself; but all of
them, where the decision stops at the first no. What a newcomer gets wrong: it promises nothing.
The leader asks again when the request is there, and only the leader's picture is complete.
"""

from attrs import frozen

from statemachine.cluster import Cluster
from statemachine.decide import Refusal, weigh
from statemachine.events import Event, trigger_of
from statemachine.facts import Situation
from statemachine.observations import Request
from statemachine.proposals import Proposal
from statemachine.requests import Refused, Wanted, wanted
from statemachine.rule import Rule
from statemachine.rules import rules_for
from statemachine.view import View


@frozen
class Check:
    """One guard's answer."""

    guard: str
    ok: bool
    saw: str
    is_pending: bool  # a no that only has to wait


@frozen
class Option:
    """One way to grant the request, or the reason why there is none at all (`against`)."""

    candidate: str
    is_granted: bool
    against: str
    checks: tuple[Check, ...] = ()


@frozen
class Preflight:
    """The answer. It would be granted when any option is."""

    request: Request
    options: tuple[Option, ...]

    @property
    def is_granted(self) -> bool:
        """Whether the request would be granted now."""
        return any(o.is_granted for o in self.options)


def preflight(cluster: Cluster, view: View, request: Request) -> Preflight:
    """What would be said to the request now."""
    wishes = wanted(cluster, view, request)
    return Preflight(request, tuple(_option(cluster, view, request, wish) for wish in wishes))


def _option(cluster: Cluster, view: View, request: Request, wish: Wanted | Refused) -> Option:
    if isinstance(wish, Refused):
        return Option(request.instance, False, wish.reason)
    candidate = str(wish.subject or "")
    proposal = Proposal(wish.payload, wish.why, wish.subject)
    checks = _checks(cluster, view, proposal)
    verdict = weigh(cluster, view, proposal)
    if isinstance(verdict, Event):
        return Option(candidate, True, "", checks)
    return Option(candidate, False, _first_reason(cluster, verdict), checks)


def _first_reason(cluster: Cluster, refusals: tuple[Refusal, ...]) -> str:
    return refusals[0].reason if refusals else f"not while {cluster.phase.value}"


def _checks(cluster: Cluster, view: View, proposal: Proposal) -> tuple[Check, ...]:
    situation = Situation(cluster, view, proposal.subject, proposal.name)
    rows: tuple[Rule, ...] = tuple(rules_for(trigger_of(proposal.payload), cluster.phase))
    found = []
    for row in rows:
        for guard in row.guards:
            fact = guard(situation)
            found.append(Check(guard.__name__, fact.ok, fact.saw, fact.is_pending))
    return tuple(found)
