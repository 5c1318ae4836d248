"""Epochs, and when two instances have diverged (MEMGRAPH 3.5).

Promise: pure functions. Memgraph searches the *oldest* entry of an epoch, which calls instances
diverged that are identical (MEMGRAPH L4); `oldest_match=False` searches as its sources up to 3.4.
"""

from controller.sandbox.memgraph.durability.snapshots import History

HISTORY_MAX = 1000  # entries, Memgraph's own limit


def with_latest(history: History, epoch: str, ldt: int) -> History:
    """The history after the current epoch ended at `ldt`; skipped if the last entry says so."""
    if history and history[-1][1] == ldt:
        return history
    return (*history, (epoch, ldt))[-HISTORY_MAX:]


def reported_epoch(history: History, epoch: str, ldt: int) -> str:
    """The epoch a replica names in its heartbeat."""
    return history[-1][0] if history and history[-1][1] == ldt else epoch


def is_diverged(
    *,
    main_epoch: str,
    main_history: History,
    replica_epoch: str,
    replica_ldt: int,
    oldest_match: bool,
) -> bool:
    """Whether a replica holds data that its main does not know, by Memgraph's rule."""
    if replica_epoch == main_epoch or replica_ldt == 0:
        return False
    entries = main_history if oldest_match else tuple(reversed(main_history))
    for epoch, ended_at in entries:
        if epoch == replica_epoch:
            return ended_at < replica_ldt
    return True
