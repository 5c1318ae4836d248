"""How far a reader lags behind the main, and what share of the readers' sessions it gets for that.

Memgraph tells lag in storage timestamps (MEMGRAPH 1.3), which only the main knows of its replicas.
What a newcomer gets wrong: while the main does not answer, nobody knows any lag, and readers go on:
reads that survive a failover are what replicas are for.
"""

from statemachine.cluster import Cluster
from statemachine.ids import Instance
from statemachine.view import View

SHARES = ((10, 1.0), (1000, 0.5))  # up to that lag, that weight: few steps, so that routes rest
LEAST_SHARE = 0.25
COMES_BACK_AT = 0.5  # of the limit: who was left out has to be well within it


def lag_of(cluster: Cluster, view: View, instance: Instance) -> int | None:
    """Storage timestamps behind the main by its last answer; None when that is unknown, because
    the main does not answer, or has no row for it that replicates."""
    main = cluster.main
    registration = cluster.registration_of(instance)
    if main is None or registration is None:
        return None
    seen = view.instance(main)
    row = seen.row(registration.name)
    if seen.failure is not None or row is None or row.behind is None:
        return None
    return max(0, -row.behind)


def may_read(
    cluster: Cluster, view: View, instance: Instance, lag_max: int | None, was_read: bool
) -> bool:
    """Whether its lag allows reads of it.

    Args:
      lag_max: storage timestamps; None: any.
      was_read: whether it is read now; one that is not has to come well within the limit.
    """
    if lag_max is None or instance == cluster.main:
        return True
    if cluster.main is None or view.instance(cluster.main).failure is not None:
        return True
    lag = lag_of(cluster, view, instance)
    limit = lag_max if was_read else int(lag_max * COMES_BACK_AT)
    return lag is not None and lag <= limit


def share_of(lag: int | None) -> float:
    """Weight among readers; one of unknown lag counts as the others."""
    if lag is None:
        return 1.0
    return next((share for most, share in SHARES if lag <= most), LEAST_SHARE)


def may_become_main(view: View, instance: Instance) -> bool:
    """Whether others may make it the main while this pod hears nothing: then reads through us would
    reach a writable instance (S14). Of no concern where the user allows reads of the main."""
    return instance in view.policy.eligible and not view.policy.read_fallback_main
