"""route(cluster, view) -> where clients may go now. Every pod computes it from its own fold."""

from attrs import frozen

from statemachine.cluster import Cluster
from statemachine.ids import Instance, Phase, Term
from statemachine.view import View


@frozen
class Routes:
    """Writes go to `main` (None: closed, `reason` says why) in `term`; reads to `readers`."""

    term: Term
    main: Instance | None
    reason: str
    readers: frozenset[Instance]


def route(cluster: Cluster, view: View) -> Routes:
    """Where clients may go by the ledger. The gateway verifies each upstream before it uses it."""
    reason = closed_because(cluster)
    in_new_term = cluster.phase is Phase.FAILOVER or cluster.is_main_lost
    term = cluster.term if in_new_term else cluster.main_term
    main = None if reason else cluster.main
    readers = cluster.readers
    if not readers and view.policy.read_fallback_main and main is not None:
        readers = frozenset({main})  # only because the user allowed it explicitly (S14)
    return Routes(term, main, reason, readers)


def closed_because(cluster: Cluster) -> str:
    """Why nobody may write now; "" when writes are open."""
    if cluster.main is None:
        return "no main was appointed yet"
    if cluster.phase is Phase.FAILOVER:
        candidate = cluster.change.candidate if cluster.change else "?"
        return f"the main changes: {candidate} is candidate"
    if cluster.is_main_lost:
        return f"{cluster.main} is lost and nobody else holds every write: it must come back"
    if not cluster.rw_open:
        return (
            "fresh: the main is not promoted yet"
            if cluster.is_fresh
            else ("durability is required and there is no second copy")
        )
    return ""
