"""Guards: named pure questions that a decision must answer with yes, each telling what it saw.

`decide` asks them one by one, so that a refusal names the guard and its fact. Replay never asks
them again: the facts were true then and are stored in the event.
"""

from statemachine.guards.base import Fact, Guard
from statemachine.guards.beginning import (
    eligible_answer,
    identity_is_known,
    no_instance_has_data,
    one_main_is_followed,
    pods_are_known,
    proven_empty,
    reign_is_new,
)
from statemachine.guards.fencing import (
    candidate_is_promoted,
    drain_is_overdue,
    drained_if_needed,
    fence_proof,
    gateways_have_cut,
    marker_went_through,
    old_main_is_harmless,
    outcome_is_settled,
    replicas_had_their_time,
)
from statemachine.guards.loss import (
    evidence_lasts,
    in_sync_set,
    main_answers_as_main,
    no_registration_under_way,
    no_reset_is_open,
    nobody_is_safe,
    subject_answers,
    subject_is_ours,
    vantages_agree,
)
from statemachine.guards.redundancy import (
    address_is_free,
    carried_replicas,
    main_is_alone_in_being_main,
    mode_is_sync,
    proof_of_sync,
    replica_is_usable,
    reset_is_allowed,
    reset_is_due,
    subject_is_expendable,
    sync_is_proven,
    sync_is_unready,
    token_is_withdrawn,
)

__all__ = [
    "Fact",
    "Guard",
    "address_is_free",
    "candidate_is_promoted",
    "carried_replicas",
    "drain_is_overdue",
    "drained_if_needed",
    "eligible_answer",
    "evidence_lasts",
    "fence_proof",
    "gateways_have_cut",
    "identity_is_known",
    "in_sync_set",
    "main_answers_as_main",
    "main_is_alone_in_being_main",
    "marker_went_through",
    "mode_is_sync",
    "no_instance_has_data",
    "no_registration_under_way",
    "no_reset_is_open",
    "nobody_is_safe",
    "old_main_is_harmless",
    "one_main_is_followed",
    "outcome_is_settled",
    "pods_are_known",
    "proof_of_sync",
    "proven_empty",
    "reign_is_new",
    "replica_is_usable",
    "replicas_had_their_time",
    "reset_is_allowed",
    "reset_is_due",
    "subject_answers",
    "subject_is_expendable",
    "subject_is_ours",
    "sync_is_proven",
    "sync_is_unready",
    "token_is_withdrawn",
    "vantages_agree",
]
