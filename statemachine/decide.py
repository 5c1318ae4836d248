"""decide(cluster, view) -> the next event, or why there is none.

Each phase has its proposals, in order of urgency. A proposal says what might be decided and about
whom; the rules of the table then ask their guards, one by one. The first proposal whose guards all
agree becomes the event; of the others we keep which guard said no, and what it saw.
"""

from attrs import frozen

from statemachine import events as e
from statemachine import facts as f
from statemachine.cluster import Cluster
from statemachine.events import Event, Payload, trigger_of
from statemachine.facts import Situation
from statemachine.folds import refusal_key
from statemachine.guards import reset_is_allowed
from statemachine.ids import Phase
from statemachine.observations import Request
from statemachine.proposals import PROPOSERS, Proposal
from statemachine.requests import PATIENCE_S, Wanted, open_requests, wanted
from statemachine.rule import Rule
from statemachine.rules import rules_for
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
    if cluster.leader != view.identity:
        why = f"{view.identity} leads now"
        return weigh(cluster, view, Proposal(e.LeaderElected(view.identity), why))
    answer, refusals = _answer(cluster, view)
    if answer is not None:
        return answer
    if cluster.pause is not None:
        is_over = view.wall_s >= cluster.pause.until_s
        resumed = Proposal(e.Resumed("the pause is over"), "the pause is over")
        return weigh(cluster, view, resumed) if is_over else tuple(refusals)
    for proposer in PROPOSERS[cluster.phase]:
        for proposal in proposer(cluster, view):
            verdict = weigh(cluster, view, proposal)
            if isinstance(verdict, Event):
                idle = f.is_idle(cluster, view)
                return _observed(cluster, verdict, proposal) if idle else verdict
            refusals.extend(verdict)
    return _note(cluster, view, refusals) or tuple(refusals)


def _observed(cluster: Cluster, event: Event, proposal: Proposal) -> Decision:
    """What would have been decided, once; nothing else is looked at behind it."""
    payload = e.WouldHave(event.trigger, str(proposal.subject or ""))
    if refusal_key("would_have", payload.candidate, payload.trigger) in cluster.noted:
        return ()
    return Event(payload, cluster.phase, cluster.phase, f"would: {event.why}", event.facts)


def _answer(cluster: Cluster, view: View) -> tuple[Event | None, list[Refusal]]:
    """The answer to a request, if one is due; else why those that are there still wait."""
    waiting: list[Refusal] = []
    for request in open_requests(cluster, view):
        reasons: list[str] = []
        against: list[Refusal] = []
        for wish in wanted(cluster, view, request):
            if not isinstance(wish, Wanted):
                reasons.append(wish.reason)
                continue
            verdict = weigh(cluster, view, Proposal(wish.payload, wish.why, wish.subject))
            if isinstance(verdict, Event):
                return verdict, []
            against.extend(verdict)
            reasons += [r.reason for r in verdict] or [f"not while {cluster.phase.value}"]
        if not _waits(cluster, view, request, against):
            said = e.RequestRefused(request.id, request.kind, request.author, reasons[0])
            why = f"{request.kind} asked for by {request.author} is refused: {reasons[0]}"
            return Event(said, cluster.phase, cluster.phase, why), []
        waiting.extend(against)
    return None, waiting


def _waits(cluster: Cluster, view: View, request: Request, refusals: list[Refusal]) -> bool:
    """Whether all that stands against the request may be over in a moment."""
    since_s = next(r.since_s for r in view.requests if r.request.id == request.id)
    is_new = view.now_s - since_s < PATIENCE_S
    may_pass = all(r.is_pending for r in refusals)
    return is_new and may_pass and (bool(refusals) or cluster.phase is Phase.FAILOVER)


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
    """Some triggers have rows that differ by what is decided, not by what a guard sees."""
    match payload:
        case e.MainLost(candidate=candidate):
            return (candidate is not None) == (rule.dest is Phase.FAILOVER)
        case e.CandidateLost(candidate=candidate):
            return (candidate is None) == (rule.dest is Phase.DEGRADED)
        case e.MainPromoted(sync=sync):
            return bool(sync) == (rule.dest is Phase.OPERATIONAL)
        case e.ResetOrdered(request=request):
            return bool(request) != (reset_is_allowed in rule.guards)
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


def _note(cluster: Cluster, view: View, refusals: list[Refusal]) -> Event | None:
    """A refusal that waiting alone does not cure goes into the ledger, once; so does a fence that
    has been waited for: a person may know that the node is dead, and delete the pod by force."""
    waited_s = view.now_s - view.term_since_s
    for refusal in refusals:
        key = refusal_key(refusal.trigger, refusal.candidate, refusal.guard)
        is_stuck = refusal.trigger == "main_fenced" and waited_s >= STUCK_S
        is_quiet = refusal.is_pending and not is_stuck
        if is_quiet or key in cluster.noted or refusal.trigger in QUIET:
            continue
        payload = e.DecisionRefused(refusal.trigger, refusal.candidate, refusal.guard)
        return Event(payload, cluster.phase, cluster.phase, refusal.reason, refusal.facts)
    return None


STUCK_S = 30.0
QUIET = frozenset({"main_appointed", "cluster_adopted", "bootstrap_refused"})
"""`bootstrap_refused` speaks for the three: of the other two one is refused whenever the other
happens."""
