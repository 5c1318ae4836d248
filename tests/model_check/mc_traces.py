"""The traces of lost writes that came before the rules: F1 to F16, but for those of `mc_asked`.

Promise: each stands for one rule (or a physical promise), in the smallest world that needs it.
"""

import mc_mutants as m
from mc_begin import INFORMED
from mc_trial import Trace

RENEWING = (
    *INFORMED,
    "memgraph-1 dies",
    "memgraph-1 comes back",
    "lists the pods",
    "probes memgraph-1",
    "event renewal_started",
)
"""Instance 1 has restarted; the main's epoch is about to be renewed."""

CUT: tuple[str, ...] = (
    "folds the ledger's head",
    "folds the ledger's head",
    "lists the gateway Leases",
    "longer than the barrier",
)

DEMOTED = (
    *RENEWING,
    *CUT,
    "Mark through memgraph-0: carried out",
    "event drained",
    "Demote memgraph-0: carried out",
    "probes memgraph-0",
    "event main_fenced",
)
"""The renewal has come to the promotion."""

REJOINED = (
    "event registration_opened",
    "Register memgraph-1 on memgraph-0",
    "probes memgraph-0",
    "Mark through memgraph-0: carried out",
    "probes memgraph-1",
    "event main_promoted",
    "and opens",
)
"""And it ends as it should."""

TRACES: tuple[Trace, ...] = (
    Trace(
        "F1",
        "S8",
        {"crash": 1, "slow": 1},
        (m.names_are_reused,),
        (m.lost_rows_are_dropped, m.without_guard("address_is_free")),
        script=(
            *INFORMED,
            "memgraph-1 dies",
            "checker of memgraph-0",
            "probes memgraph-0",
            "event sync_lost",
        ),
    ),
    Trace("F2", "S4", {"crash": 1}, (m.nobody_waits_for_gateways,)),
    Trace(
        "F3",
        "S2",
        {"crash": 1},
        (m.lost_main_is_promoted_in_its_own_term,),
        (m.rows_are_not_verified,),
    ),
    Trace(
        "F4",
        "S7",
        {"crash": 2, "slow": 1},
        (m.rows_are_not_verified,),
        physics={"outlives": True},
        script=(
            *DEMOTED,
            "Promote memgraph-0: sent",
            "Promote memgraph-0: given up",
            "EndIncarnation memgraph-0",
            "probes memgraph-0",
            "memgraph-0 comes back",
            "lists the pods",
            "probes memgraph-0",
            "Promote memgraph-0: carried out",
            "probes memgraph-0",
            *REJOINED,
        ),
    ),
    Trace(
        "F5",
        "S5",
        {"crash": 2, "slow": 1},
        (m.demoted_before_the_cut,),
        (m.outcomes_are_assumed,),
        script=(
            *DEMOTED,
            "Promote memgraph-0: sent",
            "Promote memgraph-0: given up",
            "probes memgraph-0",
            "Promote memgraph-0: carried out",
            "probes memgraph-0",
        ),
    ),
    Trace("F6", "S13", {"blind": 1, "hole": 1}, (m.verdict_is_always_none,)),
    Trace(
        "F7",
        "S11",
        {"crash": 2, "guard": 1, "slow": 1},
        (m.promotion_need_not_be_pinned,),
        script=(
            *INFORMED,
            "memgraph-0 commits a write, and dies",
            "probes memgraph-0",
            "event main_lost",
            *CUT,
            "lists the pods",
            "event main_fenced",
            "Promote memgraph-1: sent",
            "memgraph-1 is MAIN, its epoch is not pinned",
            "memgraph-1 dies",
            "Promote memgraph-1: given up",
            "probes memgraph-1",
            "memgraph-1 comes back as a writable MAIN",
        ),
    ),
    Trace(
        "F8",
        "S10",
        {"crash": 1, "disk": 1},
        (m.any_storage_is_ours, m.gateways_do_not_look_at_identity),
        script=INFORMED,
    ),
    Trace("F9", "S6", {"crash": 1, "unlist": 1}, (m.deleted_leases_count_as_cut,), script=INFORMED),
    Trace(
        "F9 unseen",
        "S6",
        {"crash": 1, "unlist": 1},
        (m.new_leaders_do_not_wait,),
        script=INFORMED[:-1],  # the Leases are not listed yet
    ),
    Trace("F11", "S13", {"crash": 1}, (m.required_opens_anyway,), required=True),
    Trace(
        "F15",
        "S9",
        {"crash": 1, "slow": 2},
        (m.outcomes_are_assumed,),
        script=(*RENEWING, *CUT),
    ),
    Trace("F16", "S5", {"slow": 1, "crash": 1}, (m.nobody_waits_for_gateways,), required=True),
    Trace("joins at once", "S3", {"crash": 1}, (m.whoever_is_registered_joins,)),
    Trace("ack", "S6", {"crash": 1}, broken={"acks_first": True}),
)
