"""Guards of giving up data: resets of refused instances, and the copies that these set aside."""

from statemachine.cluster import SetAside
from statemachine.facts import Situation
from statemachine.guards.base import Fact
from statemachine.ids import Instance, Role, RowStatus


def reset_is_allowed(s: Situation) -> Fact:
    """Settings allow it: `safe` only when the verdict of the last change of main is "none", for
    else the refused instance may hold the only copy of an acknowledged write, and a person has to
    look at it first (S12)."""
    how, verdict = s.view.policy.reset, s.cluster.verdict or "none"
    ok = how == "always" or (how == "safe" and verdict == "none")
    return Fact(ok, f"AUTO_RESET is {how}, the loss verdict is {verdict}")


def reset_is_due(s: Situation) -> Fact:
    """The last reset of this instance is long ago."""
    last_s = s.view.instance(s.subject).reset_at_s if s.subject else None
    limit_s = s.view.policy.reset_interval_s
    waited_s = limit_s if last_s is None else s.view.now_s - last_s
    saw = "never before" if last_s is None else f"{waited_s:.0f} s ago"
    return Fact(waited_s >= limit_s, saw, True)


def no_other_copy_is_on_its_way(s: Situation) -> Fact:
    """While the main alone holds every acknowledged write, what it refused goes one by one, and the
    next one once another copy is complete: were the main lost meanwhile, the rest is all that is
    left to look at (S12). Who does not come back is not waited for."""
    if len(s.cluster.sync) > 1:
        return Fact(True, "another copy is complete", True)
    waits = [i for i in s.view.policy.eligible if i != s.subject and _becomes_a_copy(s, i)]
    open_ = [r.instance for r in s.cluster.refused if r.token and r.instance != s.subject]
    waits += [i for i in open_ if _is_awaited(s, i)]
    return Fact(not waits, f"{', '.join(sorted(set(waits)))} first" if waits else "nobody", True)


def _becomes_a_copy(s: Situation, instance: Instance) -> bool:
    registration = s.cluster.registration_of(instance)
    row = s.main.row(registration.name) if registration else None
    ways = (RowStatus.READY, RowStatus.REPLICATING, RowStatus.RECOVERY)
    return row is not None and row.status in ways and s.view.is_answering(instance)


def _is_awaited(s: Situation, instance: Instance) -> bool:
    since_s = s.view.instance(instance).failing_since_s
    return since_s is None or s.view.now_s - since_s < s.view.policy.reset_interval_s


def token_is_withdrawn(s: Situation) -> Fact:
    """No reset token waits for the instance's next start: its data will stay (S12)."""
    token = s.view.instance(s.subject).token_written if s.subject else None
    return Fact(token == 0, "none" if token == 0 else "not withdrawn yet", True)


def subject_is_expendable(s: Situation) -> Fact:
    """Never the main, never a member of the sync set, and demoted (S12)."""
    assert s.subject is not None
    ok = s.subject not in s.cluster.sync and s.subject != s.cluster.main
    ok = ok and s.view.answers_as(s.subject, Role.REPLICA)
    return Fact(ok, f"sync set: {', '.join(sorted(s.cluster.sync))}")


def copy_is_old(s: Situation) -> Fact:
    """It was set aside at least DIVERGED_KEEP ago, by the clocks of the leaders."""
    copy, keep_s = _copy(s), s.view.policy.diverged_keep_s
    age_s = s.view.wall_s - copy.at_s if copy else 0.0
    return Fact(copy is not None and age_s >= keep_s, f"{age_s:.0f} s of {keep_s:.0f} s", True)


def loss_was_looked_at(s: Situation) -> Fact:
    """What may hold an acknowledged write that is nowhere else goes only after a person has
    acknowledged that incident (S12, S13)."""
    copy = _copy(s)
    ok = copy is not None and not copy.needs_a_person
    return Fact(ok, f"the loss verdict was {(copy and copy.verdict) or 'none'}", True)


def redundancy_is_whole(s: Situation) -> Fact:
    """Every instance that may become main holds every acknowledged write, so each has joined since
    its own reset, and the instance of the copy follows the main as well (S12)."""
    missing = sorted(set(s.view.policy.eligible) - s.cluster.sync)
    follows = s.subject in s.cluster.sync | s.cluster.readers
    left = [*missing, *([] if follows else [str(s.subject)])]
    return Fact(not left, f"without every write: {', '.join(left) or 'nobody'}", True)


def _copy(s: Situation) -> SetAside | None:
    found = (c for c in s.cluster.set_aside if (c.instance, str(c.token)) == (s.subject, s.name))
    return next(found, None)
