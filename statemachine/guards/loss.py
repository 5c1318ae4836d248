"""Guards of losing a main and of choosing who follows it."""

from statemachine import facts as f
from statemachine.facts import Situation
from statemachine.guards.base import Fact


def evidence_lasts(s: Situation) -> Fact:
    """What speaks against the main has lasted long enough."""
    evidence = f.evidence_against_main(s.cluster, s.view)
    if evidence is None:
        return Fact(False, "none")
    lasted_s = s.view.now_s - evidence.since_s
    saw = f"{evidence.cause} for {lasted_s:.1f} s of {evidence.needs_s:.1f} s"
    return Fact(lasted_s >= evidence.needs_s, saw, True)


def vantages_agree(s: Situation) -> Fact:
    """One vantage point that alone cannot reach the main is no reason to fail over."""
    evidence = f.evidence_against_main(s.cluster, s.view)
    if evidence is None or s.cluster.main is None or not evidence.needs_agreement:
        return Fact(True, "the main itself says so")
    if s.main.kubelet_says_gone and evidence.needs_s == 0.0:
        return Fact(True, "the kubelet says that the process is gone")
    if s.view.is_blind:
        return Fact(False, "what other pods see was not heard of lately", True)
    others = [v for v in f.other_vantages(s.view, s.cluster.main) if v[1] != "unseen"]
    reach_it = [pod for pod, state in others if state == "ok"]
    total = 1 + len(others)
    saw = f"{total - len(reach_it)} of {total} vantage points"
    return Fact(2 * len(reach_it) < total, saw, True)


def cooldown_is_over(s: Situation) -> Fact:
    """The last loss of a main is long ago, or a person has looked at it: what fails twice in a row
    may fail because of what we do."""
    limit_s, cluster = s.view.policy.failover_cooldown_s, s.cluster
    if limit_s <= 0 or cluster.lost_at_s == 0 or cluster.is_cooldown_lifted:
        return Fact(True, "no cooldown")
    if s.subject is not None and s.subject == cluster.main:
        return Fact(True, "the main itself goes on")
    passed_s = s.view.wall_s - cluster.lost_at_s
    return Fact(passed_s >= limit_s, f"last loss {passed_s:.0f} s ago, of {limit_s:.0f} s", True)


def no_registration_under_way(s: Situation) -> Fact:
    """A REGISTER of a silent target freezes its main: that is not a dead main (L9)."""
    since_s = s.view.registering_since_s
    evidence = f.evidence_against_main(s.cluster, s.view)
    silent = evidence is not None and evidence.needs_s > 0
    frozen_s = s.view.now_s - since_s if since_s is not None else 0.0
    may_be_frozen = since_s is not None and frozen_s < s.view.policy.register_freeze_s and silent
    return Fact(
        not may_be_frozen, f"REGISTER under way for {frozen_s:.1f} s" if since_s else "none", True
    )


def in_sync_set(s: Situation) -> Fact:
    """The candidate holds every acknowledged write by the ledger (S3)."""
    members = ", ".join(sorted(s.cluster.sync)) or "nobody"
    return Fact(s.subject in s.cluster.sync, f"sync set: {members}")


def subject_answers(s: Situation) -> Fact:
    """The instance answers its probes now."""
    if s.subject is None:
        return Fact(False, "nobody to ask")
    seen = s.view.instance(s.subject)
    if s.view.is_answering(s.subject):
        return Fact(True, "answers")
    why = seen.failure_text or (seen.failure.value if seen.failure else "no fresh answer")
    return Fact(False, f"{s.subject}: {why}")


def subject_is_ours(s: Situation) -> Fact:
    """The instance carries the cluster's storage UUID (S10)."""
    uuid = s.view.storage_uuid(s.subject) if s.subject else ""
    ok = s.subject is not None and f.is_ours(s.cluster, s.view, s.subject)
    return Fact(ok, f"{uuid or 'unknown'}, the cluster's is {s.cluster.storage_uuid}")


def subject_is_safe(s: Situation) -> Fact:
    """The instance carries the cluster's storage UUID, and not because a REGISTER gave it to a
    process that came back with an empty disk (S10)."""
    if s.subject is not None and f.may_be_refilled(s.cluster, s.view, s.subject):
        return Fact(False, f.doubt_about(s.subject))
    return subject_is_ours(s)


def subject_is_ours_or_first(s: Situation) -> Fact:
    """The instance carries the cluster's storage UUID, or there is no cluster yet (S10)."""
    if not s.cluster.storage_uuid:
        uuid = s.view.storage_uuid(s.subject) if s.subject else ""
        return Fact(bool(uuid), f"the first: {uuid or 'not read'}")
    return subject_is_ours(s)


def no_reset_is_open(s: Situation) -> Fact:
    """An instance whose data may be set aside any moment is no candidate (S12)."""
    refused = s.cluster.refusal_of(s.subject) if s.subject else None
    return Fact(refused is None, refused.text if refused else "none")


def nobody_is_safe(s: Situation) -> Fact:
    """No member of the sync set can be reached and used."""
    usable = [i for i in sorted(s.cluster.sync) if f.is_usable(s.cluster, s.view, i)]
    return Fact(not usable, f"reachable: {', '.join(usable) or 'none'}", True)


def main_answers_as_main(s: Situation) -> Fact:
    """The appointed main answers as MAIN, with rows read after the last command on it."""
    ok = s.cluster.main is not None and f.rows_are_current(s.view, s.cluster.main)
    return Fact(
        ok, "MAIN, rows current" if ok else "not MAIN, or its rows are not read again yet", True
    )


def nobody_came_in_time(s: Situation) -> Fact:
    """Closing writes without a successor helps nobody whom patience would not help more: a slow
    main, or a candidate whose answer is late, is waited for. A main that says itself that it is
    none any more is not."""
    evidence = f.evidence_against_main(s.cluster, s.view)
    if evidence is None or not evidence.needs_agreement:
        return Fact(True, "the main itself says so")
    policy = s.view.policy
    limit_s = policy.candidate_grace_s if evidence.needs_s > 0 else policy.main_grace_s
    lasted_s = s.view.now_s - evidence.since_s
    return Fact(lasted_s >= limit_s, f"{lasted_s:.1f} s of {limit_s:.1f} s", True)
