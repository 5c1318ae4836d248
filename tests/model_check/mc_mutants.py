"""Rules of the product, switched off one by one, to see that the small world punishes it.

Each mutant is a function that takes a `patch(owner, name, value)`; whoever applies it undoes it.
"""

from collections.abc import Callable
from typing import Any

import mc_brain
import mc_normal as n
from attrs import evolve as changed

import controller.verify as verifying
import statemachine.decide as deciding
import statemachine.evolve as evolving
import statemachine.guards.fencing as fencing
import statemachine.guards.redundancy as redundancy
import statemachine.observe as observing
import statemachine.plan as planning
from statemachine import facts, guards, proposals, rules
from statemachine.cluster import Cluster
from statemachine.commands import Promote
from statemachine.events import MainPromoted, SyncLost
from statemachine.ids import Phase, Role
from statemachine.view import View

Patch = Callable[[Any, str, Any], None]
Mutant = Callable[[Patch], None]


def without_guard(name: str) -> Mutant:
    """No rule asks this guard any more."""

    def mutate(patch: Patch) -> None:
        guard = getattr(guards, name)
        left = tuple(
            changed(rule, guards=tuple(g for g in rule.guards if g is not guard))
            for rule in rules.RULES
        )
        assert left != rules.RULES, f"no rule asks {name}"
        _patch_rules(patch, left)

    mutate.__name__ = f"without_{name}"
    return mutate


def _patch_rules(patch: Patch, table: tuple[Any, ...]) -> None:
    uncached = rules.rules_for.__wrapped__
    patch(rules, "RULES", table)
    patch(rules, "rules_for", uncached)
    patch(deciding, "rules_for", uncached)


def _swap_guard(patch: Patch, old: guards.Guard, new: guards.Guard) -> None:
    swapped = tuple(
        changed(rule, guards=tuple(new if g is old else g for g in rule.guards))
        for rule in rules.RULES
    )
    _patch_rules(patch, swapped)


def nobody_waits_for_gateways(patch: Patch) -> None:
    """S4: the change of main goes on before every gateway has cut."""
    patch(facts, "unfenced_gateways", lambda cluster, view: ())


def demoted_before_the_cut(patch: Patch) -> None:
    """S5: commands of a change of main do not wait for the cut; its events still do."""
    yes = guards.Fact(True, "mutant")
    patch(planning, "gateways_have_cut", lambda s: yes)


def any_storage_is_ours(patch: Patch) -> None:
    """S10: an instance's identity is not looked at."""
    patch(facts, "is_ours", lambda cluster, view, instance: True)
    patch(facts, "lost_its_copy", lambda cluster, view, instance: False)
    before = facts.evidence_against_main

    def evidence(cluster: Cluster, view: View) -> Any:
        return before(changed(cluster, storage_uuid=""), view)

    patch(facts, "evidence_against_main", evidence)


def gateways_do_not_look_at_identity(patch: Patch) -> None:
    """S7, S10: a gateway opens to a main with the right rows, whatever its storage is."""
    before = verifying.why_not_main

    def why_not(cluster: Cluster, answer: Any) -> str:
        return before(changed(cluster, storage_uuid=answer.storage_uuid), answer)

    patch(mc_brain, "why_not_main", why_not)


def deleted_leases_count_as_cut(patch: Patch) -> None:
    """S6: a gateway whose Lease is gone is not waited for."""
    before = facts.unfenced_gateways

    def unfenced(cluster: Cluster, view: View) -> tuple[str, ...]:
        there = tuple(g for g in view.gateways if not g.is_deleted)
        return before(cluster, changed(view, gateways=there))

    patch(facts, "unfenced_gateways", unfenced)


def new_leaders_do_not_wait(patch: Patch) -> None:
    """S6: the gateways that the first list shows are all there are."""
    before = fencing.gateways_have_cut

    def have_cut(s: facts.Situation) -> guards.Fact:
        view = changed(s.view, gateways_watched_since_s=n.LONG_AGO_S)
        return before(changed(s, view=view))

    _swap_guard(patch, before, have_cut)
    patch(planning, "gateways_have_cut", have_cut)


def whoever_is_registered_joins(patch: Patch) -> None:
    """S3: a name makes a member of the sync set, whatever its row says."""
    patch(redundancy, "proof_of_sync", lambda s, name: True)
    patch(proposals, "proof_of_sync", lambda s, name: True)


def names_are_reused(patch: Patch) -> None:
    """S8: a replica is always registered under the same name."""
    patch(facts, "registration_name", lambda instance, generation: n.name_of(int(instance[-1]), 1))
    patch(evolving, "check", lambda before, event, after: None)


def lost_rows_are_dropped(patch: Patch) -> None:
    """sync_lost retires the name, so that its row is dropped while clients write."""
    before = evolving.FOLDS[SyncLost]

    def fold(c: Cluster, p: Any) -> Cluster:
        after = before(c, p)
        kept = tuple(r for r in after.registrations if r.name != p.name)
        return changed(after, registrations=kept)

    patch(evolving, "FOLDS", {**evolving.FOLDS, SyncLost: fold})
    patch(planning, "_may_drop", lambda cluster, view, main, name: True)


def lost_main_is_promoted_in_its_own_term(patch: Patch) -> None:
    """S2: a main that came back as REPLICA is promoted at once, without a new term."""
    before = planning.plan

    def owed(cluster: Cluster, view: View) -> tuple[Any, ...]:
        main = cluster.main
        again = main is not None and view.answers_as(main, Role.REPLICA)
        if cluster.phase is not Phase.OPERATIONAL or not again or main is None:
            return before(cluster, view)
        return (Promote(main, cluster.term),)

    patch(mc_brain, "plan", owed)


def rows_are_not_verified(patch: Patch) -> None:
    """S7: a gateway does not look for the rows of the sync set."""
    patch(verifying, "has_rows_for_sync_set", lambda cluster, rows: True)


def verdict_is_always_none(patch: Patch) -> None:
    """S13: the ledger always says that nothing can be missing."""
    patch(proposals, "verdict", lambda cluster, mode: "none")


def outcomes_are_assumed(patch: Patch) -> None:
    """S9: a command whose answer was lost is taken as not sent."""
    before = vars(observing)["_role_command_ended"]

    def ended(seen: Any, end: Any) -> Any:
        return changed(before(seen, end), unsettled=None)

    patch(observing, "_role_command_ended", ended)


def promotion_need_not_be_pinned(patch: Patch) -> None:
    """S11: whoever says MAIN is promoted, whatever happened since."""

    def promoted(s: facts.Situation) -> guards.Fact:
        ok = s.subject is not None and s.view.answers_as(s.subject, Role.MAIN)
        return guards.Fact(ok, "mutant")

    _swap_guard(patch, fencing.candidate_is_promoted, promoted)


def required_opens_anyway(patch: Patch) -> None:
    """`required`: writes open at main_promoted, with one copy."""
    before = evolving.FOLDS[MainPromoted]

    def fold(c: Cluster, p: Any) -> Cluster:
        return changed(before(c, p), rw_open=True)

    patch(evolving, "FOLDS", {**evolving.FOLDS, MainPromoted: fold})


def main_is_never_its_own_candidate(patch: Patch) -> None:
    """S2: only another member of the sync set may follow a main."""
    before = facts.choose_candidate

    def choose(cluster: Cluster, view: View) -> Any:
        return before(changed(cluster, sync=cluster.sync_replicas, main=None), view)

    patch(facts, "choose_candidate", choose)


def resets_go_on_whatever_the_main_is(patch: Patch) -> None:
    """S12: an order is carried out although the main is not what it was when it was given."""
    patch(planning, "_is_main_whole", lambda cluster, view: True)


def renewals_need_no_marker(patch: Patch) -> None:
    """A replica that is registered in the main's new epoch counts before it has taken a commit."""

    def registered(s: facts.Situation) -> frozenset[Any]:
        return frozenset(r.instance for r in s.cluster.registrations)

    patch(proposals, "carried_replicas", registered)
    patch(fencing, "carried_replicas", registered)


def what_was_accepted_once_holds_for_ever(patch: Patch) -> None:
    """S3: a candidate that a person forced stays a member, though the attempt came to nothing."""
    patch(evolving, "_complete", lambda cluster: cluster.sync)
