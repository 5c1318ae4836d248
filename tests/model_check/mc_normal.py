"""One form for all views and clusters that no verb can tell apart: times, terms, seqs, names.

Promise: whatever a verb of the product compares is kept (which of two came first, which term is the
present one, which gateway has acknowledged), everything else is made constant. Graces are not kept:
each decision is asked for twice, with a policy whose patience is over and with one whose is not.
"""

from collections.abc import Mapping

from attrs import evolve

from statemachine import commands as c
from statemachine.cluster import Cluster, Registration
from statemachine.ids import Durability, Incarnation, Instance, Seq, Term
from statemachine.observations import ProbeAnswered
from statemachine.view import GatewayView, InstanceView, Marker, Policy, View

NOW_S = 1000.0
LONG_AGO_S = NOW_S - 100.0  # longer than any barrier
BEFORE_S = NOW_S - 1.0  # fresh, and before everything that is still being waited for
STEP_S = 0.01
TERM, OLD_TERM, OLDER_TERM = Term(5), Term(4), Term(3)
SEQ, CLOSED_SEQ = Seq(10), Seq(1)
ANOTHER_TOKEN = 2  # the present order's is 1
NEVER_S = float("-inf")
LEADER, DEPOSED = "leader", "deposed"
NAMES = tuple(Instance(f"memgraph-{i}") for i in range(3))
NOBODY = Instance("")
INDEX = {name: i for i, name in enumerate(NAMES)}


def policy(eligible: int, patient: bool, required: bool = False, resets: bool = False) -> Policy:
    """Settings under which no grace is over yet (patient), or all are."""
    grace_s = 1e9 if patient else 0.5  # half of the age that everything has (BEFORE_S)
    return Policy(
        eligible=NAMES[:eligible],
        replication_domain="svc",
        main_grace_s=grace_s,
        sync_grace_s=grace_s,
        row_settle_s=grace_s,
        register_freeze_s=grace_s,
        durability=Durability.REQUIRED if required else Durability.PREFERRED,
        renewal_deadline_s=grace_s,
        catch_up_s=grace_s,
        reset="safe" if resets else "off",
    )


# -- names


def gen_of(name: str) -> int:
    """The generation in a registration's name."""
    return int(name.rpartition("_g")[2])


def name_of(replica: int, gen: int) -> str:
    """`memgraph_1_g7`."""
    return f"memgraph_{replica}_g{gen}"


def _renamed(name: str, gens: Mapping[int, int]) -> str:
    stem, _, gen = name.rpartition("_g")
    return f"{stem}_g{gens[int(gen)]}"


def gens_of_cluster(x: Cluster) -> frozenset[int]:
    """Generations of the names that are owed."""
    return frozenset(gen_of(r.name) for r in x.registrations)


def gens_of_view(v: View) -> frozenset[int]:
    """Generations of all names that the view knows."""
    names = [r.name for i in v.instances if i.answer for r in i.answer.rows or ()]
    names += [name for i in v.instances if i.marker for name in i.marker.names]
    names += [r.name for r in v.refused_registrations]
    return frozenset(gen_of(name) for name in names)


def cluster_renamed(x: Cluster, gens: Mapping[int, int], last: int) -> Cluster:
    """The same cluster with other generations."""
    regs = tuple(evolve(r, name=_renamed(r.name, gens)) for r in x.registrations)
    return evolve(x, registrations=regs, generation=last)


def view_renamed(v: View, gens: Mapping[int, int]) -> View:
    """The same view with other generations."""
    refused = tuple(evolve(r, name=_renamed(r.name, gens)) for r in v.refused_registrations)
    instances = tuple(_instance_renamed(i, gens) for i in v.instances)
    return evolve(v, instances=instances, refused_registrations=refused)


def _instance_renamed(i: InstanceView, gens: Mapping[int, int]) -> InstanceView:
    answer, marker = i.answer, i.marker
    if answer is not None and answer.rows:
        rows = tuple(evolve(r, name=_renamed(r.name, gens)) for r in answer.rows)
        answer = evolve(answer, rows=rows)
    if marker is not None:
        marker = evolve(marker, names=tuple(_renamed(n, gens) for n in marker.names))
    unready = tuple((_renamed(n, gens), since) for n, since in i.unready_since_s)
    return evolve(i, answer=answer, marker=marker, unready_since_s=unready)


def names_in(command: c.Command) -> tuple[str, ...]:
    """The registrations that a command names."""
    match command:
        case c.Register(name=name) | c.Drop(name=name):
            return (name,)
        case c.Mark(names=names):
            return names
        case _:
            return ()


def command_renamed(command: c.Command, gens: Mapping[int, int]) -> c.Command:
    """The same command with other generations."""
    match command:
        case c.Register(name=name) | c.Drop(name=name):
            return evolve(command, name=_renamed(name, gens))
        case c.Mark(names=names):
            return evolve(command, names=tuple(_renamed(x, gens) for x in names))
        case _:
            return command


# -- clusters


def normal_cluster(x: Cluster) -> Cluster:
    """The cluster with constant seq and term, and without words for people."""
    change = x.change
    if change is not None:
        verdict = _short(change.verdict)
        fence = "fenced" if change.fence else ""
        change = evolve(change, cause="", fence=fence, verdict=verdict)
    refused = tuple(
        evolve(r, text="", token=int(r.token > 0), term=TERM if r.term == x.term else OLD_TERM)
        for r in x.refused
    )
    return evolve(
        x,
        seq=SEQ,
        term=TERM,
        main_term=TERM if x.main_term == x.term else OLD_TERM,
        rw_closed_seq=CLOSED_SEQ,
        change=change,
        refused=tuple(sorted(refused, key=lambda r: r.instance)),
        noted=frozenset(),
        epoch_pods=tuple(sorted(x.epoch_pods)),
        readers=frozenset(),
        verdict=_short(x.verdict if x.verdict != "none" else ""),
        lost_at_s=0,
        answered=tuple(sorted(set(x.answered))),
        registrations=tuple(sorted(x.registrations, key=_by_gen)),
    )


def _short(verdict: str) -> str:
    return "unknown" if verdict.startswith("unknown") else verdict


def _by_gen(r: Registration) -> int:
    return gen_of(r.name)


# -- views


def normal_view(v: View) -> View:
    """The view with constant times, but for the order of what is still being waited for."""
    own = {i.instance: _pending(v, i) for i in v.instances}
    marked = [at for i in v.instances for at in _pending_marker(v, i)]
    pending = sorted({*marked, *(at for times in own.values() for at in times)})
    ranks = {at: BEFORE_S + STEP_S * (k + 1) for k, at in enumerate(pending)}
    wanted = {x: {at: ranks[at] for at in (*own[x], *marked)} for x in own}
    return evolve(
        v,
        now_s=NOW_S,
        reign_since_s=0.0,
        instances=tuple(_normal_instance(v, i, wanted[i.instance]) for i in v.instances),
        gateways=tuple(_normal_gateway(g) for g in v.gateways),
        gateways_watched_since_s=_normal_first_read(v.gateways_watched_since_s),
        gateways_seen_at_s=None if v.gateways_seen_at_s is None else NOW_S,
        registering_since_s=None if v.registering_since_s is None else BEFORE_S,
        requests=tuple(evolve(r, since_s=BEFORE_S) for r in v.requests),
    )


def _asked(i: InstanceView) -> float:
    return i.answer.asked_at_s if i.answer else NEVER_S


def _pending(v: View, i: InstanceView) -> list[float]:
    """Times that the next answers have to be compared with."""
    found = [i.touched_at_s] if _asked(i) < i.touched_at_s else []
    if _is_told_later(i):
        found.append(i.process_told_at_s)
    if i.promotion is not None and _asked(i) < i.promotion.at_s:
        found.append(i.promotion.at_s)
    return found


def _is_told_later(i: InstanceView) -> bool:
    """Whether the kubelet's last word is younger than the answer; the first answer is younger."""
    return i.answer is not None and _asked(i) < i.process_told_at_s


def _pending_marker(v: View, i: InstanceView) -> list[float]:
    """Likewise, with the answers of the replicas that the marker has carried."""
    return [i.marker.at_s] if i.marker is not None and _is_marker_pending(v, i.marker) else []


def _is_marker_pending(v: View, marker: Marker) -> bool:
    carried = {NAMES[int(name.split("_")[1])] for name in marker.names}
    return any(_asked(v.instance(x)) < marker.at_s for x in carried)


def _normal_instance(v: View, i: InstanceView, ranks: Mapping[float, float]) -> InstanceView:
    answer, promotion, marker = i.answer, i.promotion, i.marker
    if answer is not None:
        answer = _normal_answer(answer, ranks)
    if promotion is not None:
        at_s = ranks[promotion.at_s] if _asked(i) < promotion.at_s else 0.0
        promotion = evolve(promotion, at_s=at_s)
    if marker is not None:
        at_s = ranks[marker.at_s] if _is_marker_pending(v, marker) else 0.0
        marker = evolve(marker, at_s=at_s, started_at_s=0.0)
    unsettled = i.unsettled
    return evolve(
        i,
        answer=answer,
        promotion=promotion,
        marker=marker,
        failing_since_s=None if i.failing_since_s is None else BEFORE_S,
        failed_at_s=None,
        failure_text="",
        unready_since_s=tuple((name, BEFORE_S) for name, _ in i.unready_since_s),
        seen_replica_at_s=None,
        touched_at_s=ranks[i.touched_at_s] if _asked(i) < i.touched_at_s else NEVER_S,
        process_told_at_s=ranks[i.process_told_at_s] if _is_told_later(i) else NEVER_S,
        unsettled=evolve(unsettled, since_s=LONG_AGO_S) if unsettled else None,
        reset_at_s=None,
        token_written=0 if v.policy.reset == "off" else i.token_written,
    )


def _normal_answer(answer: ProbeAnswered, ranks: Mapping[float, float]) -> ProbeAnswered:
    reached = [canon for at, canon in ranks.items() if at <= answer.asked_at_s]
    asked_at_s = max(reached, default=BEFORE_S)
    return evolve(answer, asked_at_s=asked_at_s, at_s=NOW_S)


def _normal_first_read(at_s: float | None) -> float | None:
    if at_s is None:
        return None
    return LONG_AGO_S if NOW_S - at_s > 50.0 else NOW_S


def _normal_gateway(g: GatewayView) -> GatewayView:
    is_old = NOW_S - g.changed_at_s > 50.0
    facts = evolve(g.facts, stamp="")
    return evolve(g, facts=facts, changed_at_s=LONG_AGO_S if is_old else NOW_S)


def view_after(v: View, before: Cluster, after: Cluster, is_closed: bool) -> View:
    """The view once the ledger goes from `before` to `after` (not normalised yet), as far as terms
    and names in it are compared: what is of another term is of *another* term for ever."""
    owed = {r.name for r in after.registrations}
    instances = tuple(_instance_after(i, before, after) for i in v.instances)
    refused = tuple(r for r in v.refused_registrations if r.name in owed)
    v = evolve(v, instances=instances, refused_registrations=refused)
    if not is_closed:
        return v
    gates = tuple(evolve(g, facts=evolve(g.facts, acked_seq=Seq(0))) for g in v.gateways)
    return evolve(v, gateways=gates, gateways_read_after=Seq(0))


def _instance_after(i: InstanceView, before: Cluster, after: Cluster) -> InstanceView:
    promotion, marker = i.promotion, i.marker
    if promotion is not None and after.term != before.term:
        promotion = evolve(promotion, term=OLD_TERM)
    if marker is not None:
        owed = {r.name for r in after.registrations}
        names = tuple(sorted(name for name in marker.names if name in owed))
        marker = evolve(marker, names=names, term=_marker_term(marker, after))
    i = evolve(i, promotion=promotion, marker=marker)
    return _with_new_order(i) if _token(after, i) > max(1, _token(before, i)) else i


def _token(x: Cluster, i: InstanceView) -> int:
    refused = x.refusal_of(i.instance)
    return refused.token if refused else 0


def _with_new_order(i: InstanceView) -> InstanceView:
    """What was done for an earlier order is nothing to this one: its token is another."""
    return evolve(i, token_written=ANOTHER_TOKEN if i.token_written else 0, restarted_for=0)


def _marker_term(marker: Marker, after: Cluster) -> Term:
    """Markers are compared with the present term, and with that in which the main was given."""
    if marker.term == after.term:
        return TERM
    return OLDER_TERM if marker.term < after.main_term else OLD_TERM


def incarnation(proc: int) -> Incarnation:
    """Of the kept connection: as long as the process lives, so does it."""
    return Incarnation(proc)
