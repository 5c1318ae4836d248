"""The one table of what may happen: (trigger, from, to, guards). Everything else is drawn from it.

The `transitions` machine is built from it (`machine`), replay is checked against that, the diagrams
show it. What is not in the table cannot happen. The first row whose guards all say yes wins; rows
of one trigger and source stand in the order in which they are tried.

Some rows that one might expect are missing on purpose. There is no way back from FAILOVER by
abort: when the candidate dies and the old main is well, `candidate_lost` makes the old main the
candidate of a new term, which needs no proof that no role command was sent. And an instance
becomes main by `main_promoted` alone, also after a restart of the recorded main.
"""

from functools import cache

from statemachine import guards as g
from statemachine.ids import Phase
from statemachine.rule import ANY, B, D, F, O, Rule
from statemachine.rules_asked import ASKED_RULES
from statemachine.rules_refused import REFUSED_RULES

RULES: tuple[Rule, ...] = (
    Rule("leader_elected", ANY, None, (g.reign_is_new,), "barrier: term + 1 before all else"),
    Rule("policy_changed", ANY, None, (), "the durability in force"),
    *ASKED_RULES,
    Rule("decision_refused", ANY, None, (), "wanted, and a guard said no; once per refusal"),
    Rule("ledger_archived", ANY, None, (), "older entries moved into an immutable ConfigMap"),
    # -- the beginning
    Rule(
        "main_appointed",
        (B,),
        D,
        (
            g.pods_are_known,
            g.eligible_answer,
            g.proven_empty,
            g.no_instance_has_data,
            g.identity_is_known,
        ),
        "fresh: everybody proven empty",
    ),
    Rule(
        "main_appointed",
        (D,),
        None,
        (
            g.appointment_is_void,
            g.outcome_is_settled,
            g.pods_are_known,
            g.eligible_answer,
            g.proven_empty,
            g.no_instance_has_data,
            g.identity_is_known,
        ),
        "the appointed main lost its disk before anybody could write: as at the beginning",
    ),
    Rule(
        "cluster_adopted",
        (B,),
        D,
        (g.pods_are_known, g.eligible_answer, g.one_main_is_followed, g.identity_is_known),
        "one main that the others follow is kept; no role command",
    ),
    Rule(
        "bootstrap_refused",
        (B,),
        None,
        (g.pods_are_known, g.eligible_answer),
        "ambiguous: a person must act; nothing is touched",
    ),
    # -- losing the main
    Rule(
        "main_lost",
        (O, D),
        F,
        (
            g.evidence_lasts,
            g.vantages_agree,
            g.no_registration_under_way,
            g.cooldown_is_over,
            g.in_sync_set,
            g.subject_answers,
            g.subject_is_safe,
            g.no_reset_is_open,
        ),
        "the candidate is recorded before anything is done; RW closes",
    ),
    Rule(
        "main_lost",
        (D,),
        None,
        (
            g.evidence_lasts,
            g.vantages_agree,
            g.no_registration_under_way,
            g.nobody_is_safe,
            g.nobody_came_in_time,
        ),
        "no safe candidate: RW closes until the main is back",
    ),
    Rule(
        "main_lost",
        (O,),
        D,
        (
            g.evidence_lasts,
            g.vantages_agree,
            g.no_registration_under_way,
            g.nobody_is_safe,
            g.nobody_came_in_time,
        ),
        "no safe candidate: RW closes until a member of the sync set is back",
    ),
    Rule(
        "renewal_started",
        (O, D),
        F,
        (g.main_answers_as_main, g.outcome_is_settled),
        "the same main in a new epoch: cut, demote, promote, register anew",
    ),
    Rule(
        "switchover_started",
        (O,),
        F,
        (
            g.main_answers_as_main,
            g.roles_are_settled,
            g.in_sync_set,
            g.subject_answers,
            g.subject_is_ours,
            g.no_reset_is_open,
            g.subject_stays,
            g.subject_is_complete,
            g.subject_is_of_this_epoch,
        ),
        "planned: the old main is demoted first, and nothing is lost",
    ),
    Rule(
        "drained",
        (F,),
        None,
        (g.gateways_have_cut, g.marker_went_through),
        "every copy of the sync set is complete",
    ),
    Rule("drain_abandoned", (F,), None, (g.drain_is_overdue,), "the marker did not go through"),
    Rule(
        "main_fenced",
        (F,),
        None,
        (g.drained_if_needed, g.gateways_have_cut, g.old_main_is_harmless),
        "no acknowledgement can come from an older main any more",
    ),
    Rule(
        "candidate_lost",
        (F,),
        None,
        (g.in_sync_set, g.subject_answers, g.subject_is_safe, g.no_reset_is_open),
        "another member of the sync set, in a new term",
    ),
    Rule("candidate_lost", (F,), D, (g.nobody_is_safe,), "nobody is left: RW stays closed"),
    Rule(
        "main_promoted",
        (F,),
        O,
        (
            g.candidate_is_promoted,
            g.subject_answers,
            g.outcome_is_settled,
            g.subject_is_safe,
            g.replicas_had_their_time,
        ),
        "and another copy is complete already",
    ),
    Rule(
        "main_promoted",
        (F,),
        D,
        (
            g.candidate_is_promoted,
            g.subject_answers,
            g.outcome_is_settled,
            g.subject_is_safe,
            g.replicas_had_their_time,
        ),
        "role read back, epoch pinned",
    ),
    Rule(
        "main_promoted",
        (D,),
        None,
        (g.subject_answers, g.candidate_is_promoted, g.outcome_is_settled, g.subject_is_ours),
        "the appointed main of a fresh cluster",
    ),
    Rule(
        "main_returned",
        (D,),
        O,
        (
            g.main_answers_as_main,
            g.subject_is_ours,
            g.outcome_is_settled,
            g.copies_are_registered,
            g.another_copy_remains,
        ),
        "the appointed main is back, and so is its other copy's row",
    ),
    Rule(
        "main_returned",
        (D,),
        None,
        (
            g.main_answers_as_main,
            g.subject_is_ours,
            g.outcome_is_settled,
            g.copies_are_registered,
            g.no_copy_remains,
        ),
        "the appointed main is back after an outage without a candidate",
    ),
    # -- redundancy
    Rule(
        "registration_opened",
        (O, D, F),
        None,
        (
            g.main_is_alone_in_being_main,
            g.epoch_has_a_commit,
            g.replica_is_usable,
            g.address_is_free,
        ),
        "a name that was never used; precedes REGISTER",
    ),
    Rule("registration_retired", (O, D, F), None, (g.register_has_ended,), "precedes DROP"),
    Rule(
        "sync_joined",
        (D, O),
        O,
        (
            g.main_answers_as_main,
            g.mode_is_sync,
            g.subject_stays,
            g.subject_is_ours,
            g.no_reset_is_open,
            g.token_is_withdrawn,
            g.sync_is_proven,
        ),
        "holds every acknowledged write: a marker went through",
    ),
    Rule(
        "sync_lost",
        (O,),
        None,
        (g.main_answers_as_main, g.sync_is_unready_or_leaves, g.another_copy_remains),
        "the sync set shrinks here, before any DROP; another copy remains",
    ),
    Rule(
        "sync_lost",
        (O,),
        D,
        (g.main_answers_as_main, g.sync_is_unready_or_leaves, g.no_copy_remains),
        "the sync set shrinks here, before any DROP",
    ),
    # -- the rest of what routing or an auditor needs
    Rule("readers_changed", (O, D), None, (), "replicas for the read-only gateways"),
    *REFUSED_RULES,
)


@cache
def rules_for(trigger: str, source: Phase) -> tuple[Rule, ...]:
    """The rows of this trigger from this phase, in the order in which they are tried.

    Raises KeyError for a trigger that no row has.
    """
    rows = [r for r in RULES if r.trigger == trigger]
    if not rows:
        raise KeyError(trigger)
    return tuple(r for r in rows if source in r.sources)
