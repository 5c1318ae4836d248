"""observe(view, observation) -> view. Only remembers; decides nothing.

What a newcomer gets wrong: an observation may come late or twice, so each branch keeps the newer
of two facts by the time when the question was *asked*.
"""

from collections.abc import Callable
from typing import Any, assert_never

from statemachine.commands import (
    Demote,
    Mark,
    Promote,
    Register,
    ReleaseCopies,
    Restart,
    WithdrawResetToken,
    WriteResetToken,
)
from statemachine.edits import change
from statemachine.ids import Instance, Mode, Role, RowStatus, Seq
from statemachine.observations import (
    CommandEnded,
    CommandStarted,
    Failure,
    Folded,
    GatewaysListed,
    LeadershipChanged,
    Observation,
    Outcome,
    PodFacts,
    PodsListed,
    ProbeAnswered,
    ProbeFailed,
    RequestsListed,
    Row,
    Ticked,
)
from statemachine.view import (
    GatewayView,
    InstanceView,
    Marker,
    Promotion,
    RefusedRegistration,
    RequestView,
    Unsettled,
    View,
)

SAYS_NOTHING = (1, 6)
"""REGISTER's "Error: n" that says nothing of the replica: 1 the name is there (by our own earlier
attempt: names are never used twice), 6 the lock was busy and nothing changed (MEMGRAPH 2.3)."""
REFUSED_REGISTRATIONS_MAX = 32  # names are never reused; only the newest can still matter


def observe(view: View, seen: Observation) -> View:
    """The view after this observation; its clock never goes back."""
    if isinstance(seen, Ticked):
        now_s, wall_s = max(view.now_s, seen.at_s), max(view.wall_s, seen.wall_s)
        return change(view, now_s=now_s, wall_s=wall_s)
    if seen.at_s > view.now_s:
        view = change(view, now_s=seen.at_s)
    match seen:
        case ProbeAnswered():
            return _with(view, seen.instance, lambda i: _answered(i, seen))
        case ProbeFailed():
            return _with(view, seen.instance, lambda i: _failed(i, seen))
        case PodsListed():
            return _pods_listed(view, seen)
        case GatewaysListed():
            return _gateways_listed(view, seen)
        case CommandStarted():
            return _command_started(view, seen)
        case CommandEnded():
            return _command_ended(view, seen)
        case LeadershipChanged():
            forgot = tuple(
                change(i, token_written=None, released_written=None) for i in view.instances
            )
            return change(view, identity=seen.identity, reign_since_s=seen.at_s, instances=forgot)
        case Folded():
            return _folded(view, seen)
        case RequestsListed():
            return _requests_listed(view, seen)
        case _:
            assert_never(seen)


def _with(view: View, instance: Instance, edit: Callable[[InstanceView], InstanceView]) -> View:
    seen = view.instance(instance)
    edited = edit(seen)
    instances = tuple(edited if i is seen else i for i in view.instances)
    if not any(i is edited for i in instances):
        instances = tuple(sorted((*instances, edited), key=lambda i: i.instance))
    return change(view, instances=instances)


def _answered(seen: InstanceView, answer: ProbeAnswered) -> InstanceView:
    if seen.answer is not None and answer.asked_at_s < seen.answer.asked_at_s:
        return seen
    before = dict(seen.unready_since_s)
    unready = tuple(
        (row.name, before.get(row.name, answer.at_s))
        for row in answer.rows or ()
        if row.status not in (RowStatus.READY, RowStatus.REPLICATING)
    )
    is_replica = answer.role is Role.REPLICA
    return change(
        seen,
        answer=answer,
        failing_since_s=None,
        failure=None,
        failure_text="",
        unready_since_s=unready,
        is_behind=_is_behind(answer.rows or (), (seen.answer and seen.answer.rows) or ()),
        fell_silent=False,
        seen_replica_at_s=answer.at_s if is_replica else seen.seen_replica_at_s,
    )


def _is_behind(rows: tuple[Row, ...], before: tuple[Row, ...]) -> bool:
    """Whether a synchronous replica may miss a commit for good. One that is behind for a moment is
    told of it right now; one that is still where it was a probe ago may not have heard."""
    then = {(r.name, r.ts) for r in before if r.behind != 0}
    return any(
        r.status not in (RowStatus.READY, RowStatus.REPLICATING)
        or (r.behind != 0 and (r.name, r.ts) in then)
        for r in rows
        if r.mode is not Mode.ASYNC
    )


def _failed(seen: InstanceView, failed: ProbeFailed) -> InstanceView:
    if seen.answer is not None and failed.asked_at_s < seen.answer.asked_at_s:
        return seen
    since = seen.failing_since_s if seen.failing_since_s is not None else failed.asked_at_s
    return change(
        seen,
        unsettled=_after_failure(seen, failed),
        failing_since_s=since,
        failed_at_s=failed.asked_at_s,
        fell_silent=seen.fell_silent or failed.failure is Failure.SILENT,
        failure=failed.failure,
        failure_text=failed.text,
    )


def _after_failure(seen: InstanceView, failed: ProbeFailed) -> Unsettled | None:
    """A refused dial and a restart prove together that a process has ended, in either order."""
    unsettled = seen.unsettled
    if unsettled is None or failed.asked_at_s < unsettled.since_s:
        return unsettled
    if failed.failure is Failure.REFUSED:
        unsettled = change(unsettled, was_refused=True)
    return None if unsettled.is_over(seen.pod) else unsettled


def _pods_listed(view: View, listed: PodsListed) -> View:
    pods = {Instance(p.name): p for p in listed.instances}
    names = sorted({*pods, *(i.instance for i in view.instances)})
    seen = (view.instance(Instance(n)) for n in names)
    instances = tuple(_with_pod(i, pods.get(i.instance), listed.at_s) for i in seen)
    return change(view, instances=instances, controllers=listed.controllers, pods_known=True)


def _with_pod(seen: InstanceView, pod: PodFacts | None, at_s: float) -> InstanceView:
    ended = seen.unsettled is not None and seen.unsettled.is_over(pod)
    told = change(seen, pod=pod, unsettled=None if ended else seen.unsettled)
    was, now = ((i.pod_incarnation, i.kubelet_says_gone) for i in (seen, told))
    is_first = seen.pod is None and seen.process_told_at_s == float("-inf")
    if was == now or (is_first and not told.kubelet_says_gone):
        return told  # nothing ended
    return change(told, process_told_at_s=at_s)


def _gateways_listed(view: View, listed: GatewaysListed) -> View:
    known = {g.facts.pod: g for g in view.gateways}
    now = {}
    for facts in listed.gateways:
        old = known.get(facts.pod)
        same = old is not None and old.facts.stamp == facts.stamp and not old.is_deleted
        at = old.changed_at_s if old is not None and same else listed.at_s
        now[facts.pod] = GatewayView(facts, at)
    for pod, old in known.items():
        if pod not in now and not _is_long_gone(view, old):
            now[pod] = _deleted(old, listed.at_s)
    since_s = listed.at_s if view.is_blind else view.gateways_watched_since_s
    return change(
        view,
        gateways=tuple(now[pod] for pod in sorted(now)),
        gateways_watched_since_s=since_s,
        gateways_seen_at_s=listed.at_s,
        gateways_read_after=max(view.gateways_read_after, listed.quorum_after_seq or Seq(0)),
    )


def _deleted(gateway: GatewayView, at_s: float) -> GatewayView:
    """Its Lease may have been renewed until just before, however old our last picture is: it counts
    as open from now on for as long as it could be (S6)."""
    return gateway if gateway.is_deleted else change(gateway, is_deleted=True, changed_at_s=at_s)


def _is_long_gone(view: View, gateway: GatewayView) -> bool:
    """A gateway whose Lease vanished is remembered until it has surely closed by itself."""
    return (
        gateway.is_deleted and view.now_s - gateway.changed_at_s > 2 * view.policy.gateway_barrier_s
    )


def _requests_listed(view: View, listed: RequestsListed) -> View:
    since = {r.request.id: r.since_s for r in view.requests}
    seen = (RequestView(r, since.get(r.id, listed.at_s)) for r in listed.requests)
    return change(view, requests=tuple(sorted(seen, key=lambda r: (r.since_s, r.request.id))))


def _folded(view: View, folded: Folded) -> View:
    if folded.seq == view.seq:
        return view
    since_s = view.term_since_s if folded.term == view.term else folded.at_s
    return change(
        view,
        seq=folded.seq,
        folded_at_s=folded.at_s,
        term=folded.term,
        term_since_s=since_s,
    )


def _command_started(view: View, started: CommandStarted) -> View:
    if isinstance(started.command, Register):
        return change(view, registering_since_s=started.at_s)
    if isinstance(started.command, Mark):
        known = ((i.instance, i.answer.incarnation) for i in view.instances if i.answer)
        return change(view, marking=tuple(known))
    return view


def _command_ended(view: View, ended: CommandEnded) -> View:
    command = ended.command
    match command:
        case Demote() | Promote():
            return _with(view, command.instance, lambda i: _role_command_ended(i, ended))
        case Register():
            return _register_ended(view, command, ended)
        case Mark():
            return _with(view, command.main, lambda i: _marked(view, i, command, ended))
        case WriteResetToken() | WithdrawResetToken() | ReleaseCopies() | Restart():
            return _with(view, command.instance, lambda i: _reset_step_ended(i, ended))
        case _:
            target: Any = getattr(command, "main", None)
            return _touch(view, target, ended.at_s) if target else view


def _touch(view: View, instance: Instance, at_s: float) -> View:
    return _with(view, instance, lambda i: change(i, touched_at_s=at_s))


def _role_command_ended(seen: InstanceView, ended: CommandEnded) -> InstanceView:
    seen = change(seen, touched_at_s=ended.at_s)
    if ended.outcome is Outcome.UNKNOWN:
        return change(seen, unsettled=_unsettled(seen, ended.at_s), promotion=None)
    if ended.outcome is Outcome.DONE and isinstance(ended.command, Promote):
        assert ended.incarnation is not None, "the executor reports where it was carried out"
        done = Promotion(ended.command.term, ended.incarnation, ended.at_s)
        return change(seen, promotion=done)
    return change(seen, promotion=None) if isinstance(ended.command, Demote) else seen


def _unsettled(seen: InstanceView, at_s: float) -> Unsettled:
    pod = seen.pod
    return Unsettled(at_s, pod.uid, pod.restarts) if pod else Unsettled(at_s)


def _register_ended(view: View, command: Register, ended: CommandEnded) -> View:
    view = change(_touch(view, command.main, ended.at_s), registering_since_s=None)
    if ended.outcome is not Outcome.REFUSED or ended.code in SAYS_NOTHING:
        return view
    refused = RefusedRegistration(command.name, ended.code, ended.text)
    kept = (*view.refused_registrations, refused)[-REFUSED_REGISTRATIONS_MAX:]
    return change(view, refused_registrations=kept)


def _marked(view: View, seen: InstanceView, command: Mark, ended: CommandEnded) -> InstanceView:
    if ended.outcome is not Outcome.DONE:
        return seen
    marker = Marker(command.term, ended.started_at_s, ended.at_s, ended.carried, view.marking)
    return change(seen, marker=marker)


def _reset_step_ended(seen: InstanceView, ended: CommandEnded) -> InstanceView:
    if ended.outcome is not Outcome.DONE:
        return seen
    match ended.command:
        case WriteResetToken(token=token):
            return change(seen, token_written=token)
        case WithdrawResetToken():
            return change(seen, token_written=0, restarted_for=0)
        case ReleaseCopies(tokens=tokens):
            return change(seen, released_written=tokens)
        case Restart(token=token):
            return change(seen, restarted_for=token, reset_at_s=ended.at_s)
        case _:
            return seen
