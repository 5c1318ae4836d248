"""Every (phase, trigger) pair, and the agreement of everything that is drawn from the table."""

import itertools
from collections.abc import Callable

import pytest
from lives import SAMPLES, event, lived, prefixes
from transitions import Machine

from statemachine import events as e
from statemachine.codec import Entry, decode, encode
from statemachine.events import BY_TRIGGER, PAYLOADS, Payload, trigger_of
from statemachine.evolve import FOLDS, evolve
from statemachine.guards import Guard
from statemachine.ids import Phase, Seq, Term
from statemachine.machine import IllegalTransition, edge_exists, transition_rows
from statemachine.rules import RULES, rules_for

B, O, F, D = Phase.BOOTSTRAP, Phase.OPERATIONAL, Phase.FAILOVER, Phase.DEGRADED  # noqa: E741
STAY = {(p, p) for p in Phase}
SETTLED = {(O, O), (D, D)}

LEGAL: dict[str, set[tuple[Phase, Phase]]] = {
    "leader_elected": STAY,
    "main_appointed": {(B, D), (D, D)},
    "cluster_adopted": {(B, D)},
    "bootstrap_refused": {(B, B)},
    "registration_opened": SETTLED | {(F, F)},
    "registration_retired": SETTLED | {(F, F)},
    "sync_joined": {(D, O), (O, O)},
    "sync_lost": {(O, O), (O, D)},
    "main_lost": {(O, F), (D, F), (O, D), (D, D)},
    "renewal_started": {(O, F), (D, F)},
    "switchover_started": {(O, F)},
    "failover_forced": {(p, F) for p in Phase},
    "paused": {(B, B)} | SETTLED,
    "resumed": STAY,
    "observing_changed": {(B, B)} | SETTLED,
    "would_have": STAY,
    "cooldown_lifted": STAY,
    "request_refused": STAY,
    "drained": {(F, F)},
    "drain_abandoned": {(F, F)},
    "main_fenced": {(F, F)},
    "candidate_lost": {(F, F), (F, D)},
    "main_promoted": {(F, O), (F, D), (D, D)},
    "main_returned": {(D, O), (D, D)},
    "readers_changed": SETTLED,
    "instance_refused": SETTLED,
    "reset_ordered": SETTLED,
    "reset_cancelled": STAY,
    "reset_done": SETTLED,
    "copy_released": {(O, O)},
    "policy_changed": STAY,
    "decision_refused": STAY,
    "ledger_archived": STAY,
}
"""Written out once more, by hand: what the table must allow, and nothing else."""


@pytest.mark.parametrize("trigger", sorted(BY_TRIGGER))
def test_the_table_allows_exactly_what_is_written_here(trigger: str) -> None:
    """Each pair of phases is an edge of the table if and only if the list above has it."""
    pairs = set(itertools.product(Phase, Phase))
    assert {p for p in pairs if edge_exists(trigger, *p)} == LEGAL[trigger]
    for source in Phase:
        targets = {rule.target(source) for rule in rules_for(trigger, source)}
        assert targets == {dest for s, dest in LEGAL[trigger] if s is source}


@pytest.mark.parametrize("payload", SAMPLES, ids=lambda p: trigger_of(p))
def test_evolve_refuses_what_has_no_row(payload: Payload) -> None:
    """An event without a row raises in every cluster of a full life, and leaves it as it was."""
    for cluster in prefixes():
        before = repr(cluster)
        for source, dest in itertools.product(Phase, Phase):
            legal = (source, dest) in LEGAL[trigger_of(payload)]
            if source is cluster.phase and legal:
                continue
            with pytest.raises(IllegalTransition):
                evolve(cluster, event(payload, source, dest))
        assert repr(cluster) == before


def test_an_unknown_trigger_is_no_edge_and_no_rule() -> None:
    """A trigger outside of the table leads nowhere."""
    assert not edge_exists("main_married", O, O)
    with pytest.raises(KeyError):
        rules_for("main_married", O)


def test_every_payload_is_known_everywhere() -> None:
    """Adding a payload without fold, row or sample turns this red."""
    assert set(BY_TRIGGER.values()) == set(PAYLOADS) == set(FOLDS)
    assert {rule.trigger for rule in RULES} == set(BY_TRIGGER) == set(LEGAL)
    assert {type(p) for p in SAMPLES} == set(PAYLOADS)
    assert trigger_of(e.MainLost) == "main_lost"


@pytest.mark.parametrize("payload", SAMPLES, ids=lambda p: trigger_of(p))
def test_every_payload_survives_the_codec(payload: Payload) -> None:
    """What is decoded is equal to what was encoded, facts included."""
    happened = event(payload, D, D, why='quotes " and umlauts ä and \x7f')
    entry = Entry(Seq(7), "now", happened, None, (), (), Term(3), "me", "id", "0" * 32)
    assert decode(encode(entry)) == entry
    assert decode(encode(entry)).event.facts == happened.facts


def test_the_full_life_reaches_every_trigger_but_two() -> None:
    """The hand-written life is a real test of folds: no trigger is left out by forgetting. Archives
    need a cut to go with them; their own tests have it."""
    ledger = lived()
    seen = {decode(line).event.trigger for line in ledger.lines}
    assert set(BY_TRIGGER) - seen == {"cluster_adopted", "ledger_archived"}


class Planted:
    """Answers that a guard gives in a test."""

    def __init__(self) -> None:
        self.answers: dict[str, bool] = {}

    def condition(self, guard: Guard) -> Callable[[object], bool]:
        """What `transitions` calls in the guard's place."""
        return lambda _event: self.answers[guard.__name__]


class Model:
    """What the `transitions` machine drives; it needs a place for its attributes."""


@pytest.mark.parametrize("trigger", sorted(BY_TRIGGER))
def test_machine_and_rule_order_agree(trigger: str) -> None:
    """For every row and every outcome of its guards, `transitions` goes where the first rule whose
    guards all agree leads, and stays when none does."""
    planted = Planted()
    machine = Machine(
        model=None,
        states=Phase,
        initial=B,
        transitions=transition_rows(planted.condition),
        auto_transitions=False,
        send_event=True,
    )
    model = Model()
    machine.add_model(model, initial=B)
    for source in Phase:
        rules = rules_for(trigger, source)
        if not rules:
            continue
        names = sorted({guard.__name__ for rule in rules for guard in rule.guards})
        for outcome in itertools.product((True, False), repeat=len(names)):
            planted.answers = dict(zip(names, outcome, strict=True))
            agreed = [r for r in rules if all(planted.answers[g.__name__] for g in r.guards)]
            machine.set_state(source, model)
            moved = model.trigger(trigger)  # type: ignore[attr-defined]
            assert moved is bool(agreed)
            expected = agreed[0].target(source) if agreed else source
            assert model.state is expected  # type: ignore[attr-defined]
