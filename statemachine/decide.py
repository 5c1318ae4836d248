"""decide(cluster, view) -> the next event, or why there is none.

Each phase has its proposals, in order of urgency. A proposal says what might be decided and about
whom; the rules of the table then ask their guards, one by one. The first proposal whose guards all
agree becomes the event; of the others we keep which guard said no, and what it saw.
"""

from attrs import frozen

from statemachine import events as e
from statemachine.cluster import Cluster
from statemachine.events import Event, Payload, trigger_of
from statemachine.evolve import refusal_key
from statemachine.facts import Situation
from statemachine.ids import Phase
from statemachine.proposals import PROPOSERS, Proposal
from statemachine.rules import Rule, rules_for
from statemachine.view import View


@frozen
class Refusal:
    """A decision that was wanted, the guard that said no, and what it saw. `is_pending`: it only
    has to wait."""

    trigger: str
    candidate: str
    guard: str
    saw: str
    is_pending: bool
    facts: tuple[tuple[str, str], ...] = ()

    @property
    def reason(self) -> str:
        """The sentence for status and log."""
        about = f" of {self.candidate}" if self.candidate else ""
        return f"{self.trigger}{about}: {self.guard.replace('_', ' ')}: {self.saw}"


Decision = Event | tuple[Refusal, ...]


def decide(cluster: Cluster, view: View) -> Decision:
    """The next event to append, or the refusals of everything that was wanted (empty: all is
    well). Only a leader decides anything."""
    if not view.identity:
        return ()
    refusals: list[Refusal] = []
    for proposer in PROPOSERS[cluster.phase]:
        for proposal in proposer(cluster, view):
            verdict = weigh(cluster, view, proposal)
            if isinstance(verdict, Event):
                return verdict
            refusals.extend(verdict)
            if isinstance(proposal.payload, e.LeaderElected):
                return tuple(refusals)  # the barrier: nothing else before it
    return _note(cluster, refusals) or tuple(refusals)


def weigh(cluster: Cluster, view: View, proposal: Proposal) -> Decision:
    """The event of the first rule whose guards all agree; else the refusal of each rule."""
    trigger = trigger_of(proposal.payload)
    situation = Situation(cluster, view, proposal.subject, proposal.name)
    refusals = []
    for rule in rules_for(trigger, cluster.phase):
        if not _fits(rule, proposal.payload):
            continue
        verdict = _ask(rule, situation, proposal)
        if isinstance(verdict, Event):
            return verdict
        refusals.append(verdict)
    return tuple(refusals)


def _fits(rule: Rule, payload: Payload) -> bool:
    """Two triggers have rows that differ by what is decided, not by what a guard sees."""
    match payload:
        case e.MainLost(candidate=candidate):
            return (candidate is not None) == (rule.dest is Phase.FAILOVER)
        case e.MainPromoted(sync=sync):
            return bool(sync) == (rule.dest is Phase.OPERATIONAL)
        case _:
            return True


def _ask(rule: Rule, situation: Situation, proposal: Proposal) -> Event | Refusal:
    facts: list[tuple[str, str]] = []
    for guard in rule.guards:
        fact = guard(situation)
        facts.append((guard.__name__, fact.saw))
        if not fact.ok:
            candidate = str(proposal.subject or "")
            return Refusal(
                rule.trigger, candidate, guard.__name__, fact.saw, fact.is_pending, tuple(facts)
            )
    phase = situation.cluster.phase
    return Event(proposal.payload, phase, rule.target(phase), proposal.why, tuple(facts))


def _note(cluster: Cluster, refusals: list[Refusal]) -> Event | None:
    """A refusal that waiting alone does not cure goes into the ledger, once."""
    for refusal in refusals:
        key = refusal_key(refusal.trigger, refusal.candidate, refusal.guard)
        if refusal.is_pending or key in cluster.noted or refusal.trigger in QUIET:
            continue
        payload = e.DecisionRefused(refusal.trigger, refusal.candidate, refusal.guard)
        return Event(payload, cluster.phase, cluster.phase, refusal.reason, refusal.facts)
    return None


QUIET = frozenset({"main_appointed", "cluster_adopted", "bootstrap_refused"})
"""`bootstrap_refused` speaks for the three: of the other two one is refused whenever the other
happens."""
