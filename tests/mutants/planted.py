"""The planted faults: each a small change to the product that must turn something red.

Promise: every one of them is a mistake that somebody could make (most were made, here or in the
earlier controller), and each names the rule that it breaks. `old` stands exactly once in its file;
a test keeps that true.
"""

from attrs import frozen

CORE = ("tests/statemachine", "tests/controller")
POD = ("tests/controller",)
MEMGRAPH = ("tests/memgraph",)
KUBE = ("tests/kube",)
GATEWAY = ("tests/gateway",)
WEB = ("tests/web", "tests/cli")


@frozen
class Mutant:
    """One fault. `tests`: what is asked first, cheapest first."""

    name: str
    rule: str
    path: str
    old: str
    new: str
    tests: tuple[str, ...]


def core(name: str, rule: str, path: str, old: str, new: str) -> Mutant:
    """A fault of the pure room."""
    return Mutant(name, rule, f"statemachine/{path}", old, new, CORE)


def pod(name: str, rule: str, path: str, old: str, new: str) -> Mutant:
    """A fault of the loop, the gatekeeper, the executor."""
    return Mutant(name, rule, f"controller/{path}", old, new, POD)


MUTANTS: tuple[Mutant, ...] = (
    # -- S1, S2: events first, one main a term
    core(
        "no barrier",
        "S1",
        "plan.py",
        "if not view.identity or cluster.leader != view.identity:",
        "if not view.identity:",
    ),
    core(
        "a barrier that is not in the ledger",
        "S1",
        "decide.py",
        "    if cluster.leader != view.identity:\n",
        "    if not cluster.leader:\n",
    ),
    pod(
        "append reported before it is stored",
        "S1",
        "chronicle.py",
        "            self._stored = await self._write(wanted)\n",
        "            self.ledger = wanted\n            self._stored = await self._write(wanted)\n",
    ),
    pod(
        "a lost answer counts as done",
        "S1",
        "chronicle.py",
        "            if not self.ledger.has_entry(entry_id):\n                return False\n",
        "            self.ledger = wanted\n",
    ),
    pod(
        "a lost answer counts as not done",
        "S1",
        "chronicle.py",
        "            self.is_uncertain = True\n            await self.read()\n",
        "            await self.read()\n",
    ),
    core(
        "term stays the same when the main is lost",
        "S2",
        "evolve.py",
        "    after = change(closed(lost), term=next_term(c))\n",
        "    after = closed(lost)\n",
    ),
    core(
        "candidate exchanged within a term",
        "S2",
        "evolve.py",
        "    after = change(c, term=next_term(c), readers=c.readers - {p.candidate}, registrations=names)\n",
        "    after = change(c, readers=c.readers - {p.candidate}, registrations=names)\n",
    ),
    # -- S3: the sync set
    core(
        "promoted from outside the sync set",
        "S3",
        "guards/loss.py",
        "    return Fact(s.subject in s.cluster.sync, ",
        "    return Fact(True, ",
    ),
    core(
        "sync set grows without a marker",
        "S3",
        "guards/redundancy.py",
        "        and name in marker.names\n",
        "",
    ),
    core(
        "the marker of another incarnation counts",
        "S3",
        "guards/redundancy.py",
        "        and answer.incarnation == dict(marker.incarnations).get(registration.instance)\n",
        "",
    ),
    core(
        "dropped before sync_lost",
        "S3",
        "upkeep.py",
        "        elif not r.is_joined and (reason",
        "        elif (reason",
    ),
    core(
        "a leaving replica is waited for",
        "S3",
        "guards/redundancy.py",
        "    if s.subject is not None and f.is_leaving(s.view, s.subject):\n",
        "    if s.subject is None:\n",
    ),
    core(
        "a replica that was let go joins again",
        "S3",
        "rules.py",
        "            g.mode_is_sync,\n            g.subject_stays,\n",
        "            g.mode_is_sync,\n",
    ),
    # -- S4, S5: fence before promote
    core(
        "promote before the fence",
        "S4",
        "plan.py",
        "    if change is not None and not change.fence:\n        yield from _fence(situation)\n",
        "    if change is not None and not change.fence and view.is_answering(candidate) is None:\n"
        "        yield from _fence(situation)\n",
    ),
    core(
        "fence without the gateways",
        "S4",
        "rules.py",
        "        (g.drained_if_needed, g.gateways_have_cut, g.old_main_is_harmless),\n",
        "        (g.drained_if_needed, g.old_main_is_harmless),\n",
    ),
    core(
        "fence without the old main",
        "S4",
        "guards/fencing.py",
        '    return Fact(proof != "", proof or hint',
        "    return Fact(True, proof or hint",
    ),
    core(
        "STRICT_SYNC proof although the row was gone",
        "S4",
        "guards/fencing.py",
        '    return "" if seen_otherwise else "complete by STRICT_SYNC"',
        '    return "complete by STRICT_SYNC"',
    ),
    core(
        "STRICT_SYNC proof in a renewal",
        "S4",
        "guards/fencing.py",
        "    if change.old_main == change.candidate or view.is_answering(change.old_main):\n",
        "    if view.is_answering(change.old_main):\n",
    ),
    core(
        "commands before the gateways have cut",
        "S5",
        "plan.py",
        "    if not gateways_have_cut(situation).ok:\n        return\n",
        "",
    ),
    core(
        "registers while a stray main lives",
        "S5",
        "guards/redundancy.py",
        "    return Fact(not strays, ",
        "    return Fact(True, ",
    ),
    core(
        "a stray main is left alone",
        "S5",
        "plan.py",
        "    yield from _demote_strays(cluster, view)\n    main",
        "    main",
    ),
    # -- S6: gateways and their Leases
    core(
        "a gateway expires at once",
        "S6",
        "facts.py",
        "    return view.now_s - gateway.changed_at_s > view.policy.gateway_barrier_s\n",
        "    return view.now_s - gateway.changed_at_s > 0.3\n",
    ),
    core(
        "a deleted Lease counts as acknowledged",
        "S6",
        "facts.py",
        "(g.is_deleted or g.facts.acked_seq < cluster.rw_closed_seq)",
        "(not g.is_deleted and g.facts.acked_seq < cluster.rw_closed_seq)",
    ),
    core(
        "a new leader does not wait its barrier",
        "S6",
        "guards/fencing.py",
        "    if waited_s < view.policy.gateway_barrier_s:\n",
        "    if waited_s < 0:\n",
    ),
    core(
        "gateways listed before the append",
        "S6",
        "guards/fencing.py",
        "    if view.gateways_read_after < seq:\n",
        "    if view.gateways_first_read_s is None:\n",
    ),
    pod(
        "gateway opens from a cached ledger",
        "S6",
        "standing.py",
        "        self._may_open = False  # Lease created, then head read\n",
        "        self._may_open = True\n",
    ),
    pod(
        "acknowledges before the cut",
        "S6",
        "gatekeeper.py",
        "        self._cluster, self._view = cluster, view\n        routes = route(cluster, view)\n",
        "        self._cluster, self._view = cluster, view\n"
        "        if cluster.seq > self._acked:\n            self._acked = cluster.seq\n"
        "            return\n        routes = route(cluster, view)\n",
    ),
    pod(
        "no self-fence without a head",
        "S6",
        "standing.py",
        "        self._gateways.serve_until(min(self._head_at_s, self._lease_at_s) + ",
        "        self._gateways.serve_until(self._lease_at_s + 3600 + ",
    ),
    pod(
        "no self-fence without a Lease",
        "S6",
        "standing.py",
        "        self._gateways.serve_until(min(self._head_at_s, self._lease_at_s) + ",
        "        self._gateways.serve_until(self._head_at_s + ",
    ),
    # -- S7: verification
    pod(
        "no head read after the dial",
        "S7",
        "gatekeeper.py",
        "            if await self._read_head() is None or self._target != target:\n",
        "            if self._target != target:\n",
    ),
    pod(
        "opens without looking at role and rows",
        "S7",
        "gatekeeper.py",
        "        if wrong := why_not_main(self._cluster, answer):\n",
        '        if wrong := "":\n',
    ),
    pod(
        "a verified upstream is verified for ever",
        "S7",
        "gatekeeper.py",
        "        if answer.incarnation != verified.upstream.incarnation or answer.role is not Role.MAIN:\n",
        "        if answer.role is Role.UNKNOWN:\n",
    ),
    pod(
        "a main without the sync's row is served",
        "S7",
        "verify.py",
        "    return owed <= present and cluster.sync_replicas <= joined\n",
        "    return True\n",
    ),
    # -- S8, S9: names and commands
    core(
        "names are used twice",
        "S8",
        "facts.py",
        '_g{generation}"',
        '_g{generation % 2}"',
    ),
    core(
        "DROP on a young row",
        "S8",
        "plan.py",
        "    return not cluster.rw_open and gateways_have_cut(Situation(cluster, view, main)).ok\n",
        "    return True\n",
    ),
    core(
        "REGISTER of a silent target",
        "S8",
        "plan.py",
        "    if not refused and view.answers_as(r.instance, Role.REPLICA):\n",
        "    if not refused:\n",
    ),
    core(
        "a second role command while one is unsettled",
        "S9",
        "plan.py",
        "    return is_current and view.is_answering(instance) and seen.unsettled is None\n",
        "    return is_current and view.is_answering(instance)\n",
    ),
    core(
        "an old answer is used for a role command",
        "S9",
        "plan.py",
        "    is_current = seen.answer is not None and seen.answer.asked_at_s >= seen.touched_at_s\n",
        "    is_current = seen.answer is not None\n",
    ),
    pod(
        "two commands at once on one instance",
        "S9",
        "executor.py",
        "            if target in self._running or self._clock() < until_s or self._nursery is None:\n",
        "            if self._clock() < until_s or self._nursery is None:\n",
    ),
    Mutant(
        "the reign is not looked at before a statement",
        "S9",
        "controller/memgraph/roles.py",
        "        if not self._still_reigning():\n",
        "        if self._still_reigning() is None:\n",
        MEMGRAPH,
    ),
    # -- S10, S11, S12
    core(
        "no identity check",
        "S10",
        "guards/loss.py",
        "    ok = s.subject is not None and f.is_ours(s.cluster, s.view, s.subject)\n",
        "    ok = s.subject is not None\n",
    ),
    core(
        "snapshot in another incarnation",
        "S11",
        "guards/fencing.py",
        "        and done.incarnation == answer.incarnation\n",
        "",
    ),
    Mutant(
        "promoted without a snapshot",
        "S11",
        "controller/memgraph/instance.py",
        "        await self._pin(link)\n",
        "",
        MEMGRAPH,
    ),
    core(
        "a member of the sync set is reset",
        "S12",
        "guards/redundancy.py",
        "    ok = s.subject not in s.cluster.sync and s.subject != s.cluster.main\n",
        "    ok = s.subject is not None\n",
    ),
    core(
        "a reset order outlives its term",
        "S12",
        "plan.py",
        "for r in cluster.refused if r.token and r.term == cluster.term}",
        "for r in cluster.refused if r.token}",
    ),
    core(
        "a reset whatever the verdict",
        "S12",
        "guards/redundancy.py",
        '    ok = how == "always" or (how == "safe" and verdict == "none")\n',
        '    ok = how != "off"\n',
    ),
    core(
        "a candidate with an open reset",
        "S12",
        "guards/loss.py",
        "    return Fact(refused is None, refused.text",
        "    return Fact(True, refused.text",
    ),
    # -- losing a main
    core(
        "one vantage point is enough",
        "detection",
        "guards/loss.py",
        "    return Fact(2 * len(reach_it) < total, saw, True)\n",
        "    return Fact(True, saw, True)\n",
    ),
    core(
        "no grace for silence",
        "detection",
        "guards/loss.py",
        "    return Fact(lasted_s >= evidence.needs_s, saw, True)\n",
        "    return Fact(True, saw, True)\n",
    ),
    core(
        "a wrong password is a lost main",
        "detection",
        "facts.py",
        "        case _:  # it answered something: it lives\n            return None\n",
        '        case _:\n            return Evidence("the main is silent", since_s, True)\n',
    ),
    core(
        "a main that came back as REPLICA is waited for",
        "S2",
        "facts.py",
        '        return Evidence("the main came back as REPLICA", answer.at_s, needs_agreement=False)\n',
        "        return None\n",
    ),
    core(
        "a refused failover is never tried again",
        "liveness",
        "decide.py",
        "            refusals.extend(verdict)\n    return _note(",
        "            refusals.extend(verdict)\n            if cluster.noted:\n"
        "                return tuple(refusals)\n    return _note(",
    ),
    core(
        "required opens writes at main_promoted",
        "F11",
        "evolve.py",
        "        rw_open=not alone_and_required,\n",
        "        rw_open=True,\n",
    ),
    core(
        "writes stay open while the main changes",
        "S4",
        "route.py",
        "    if cluster.phase is Phase.FAILOVER:\n",
        "    if cluster.phase is Phase.FAILOVER and cluster.change is None:\n",
    ),
    core(
        "the verdict is always none",
        "S13",
        "proposals.py",
        '    return "at most 1 transaction a writer" if may_have else "none"\n',
        '    return "none"\n',
    ),
    core(
        "a renewal without its marker",
        "F14",
        "guards/fencing.py",
        "    ok = change is not None and (change.is_drained or not change.needs_drain)\n",
        "    ok = change is not None\n",
    ),
    core(
        "an empty list of replicas is healthy",
        "scenario 72",
        "prestop.py",
        "        if row is None or row.status not in (RowStatus.READY, RowStatus.REPLICATING):\n",
        "        if row is not None and row.status is RowStatus.RECOVERY:\n",
    ),
    # -- one process, one copy of the ledger
    pod(
        "a standby with a stale fold",
        "S6",
        "loop.py",
        "                self.chronicle.take_head(message.stored, message.known)\n",
        "",
    ),
    pod(
        "a deleted ledger is a fresh cluster",
        "S16",
        "chronicle.py",
        '            self._tell("the ledger was deleted" if known.seq else "")\n',
        "            self.ledger = Ledger()\n",
    ),
    pod(
        "a cut ledger is believed",
        "S16",
        "chronicle.py",
        "        if found.continues(self.ledger):\n",
        "        if found.continues(self.ledger) or self.ledger.continues(found):\n",
    ),
    # -- adapters
    Mutant(
        "a ledger write without resourceVersion",
        "CAS",
        "controller/kube/ledger_store.py",
        '"resourceVersion": base.resource_version',
        '"resourceVersion": None',
        KUBE,
    ),
    Mutant(
        "a leader Lease by its first sight alone",
        "lease",
        "controller/kube/leadership.py",
        "now_s - self._seen_at_s >= wait_s\n",
        "now_s - self._seen_at_s >= 0\n",
        KUBE,
    ),
    Mutant(
        "a pod is deleted by name alone",
        "S9",
        "controller/kube/pod_control.py",
        '        options["preconditions"] = {"uid": uid}\n',
        "",
        KUBE,
    ),
    Mutant(
        "a gateway takes an older route",
        "S7",
        "gateway/desk.py",
        "        if old is not None and route.term < old.term:\n",
        "        if old is not None and route.term < 0:\n",
        GATEWAY,
    ),
    Mutant(
        "a session outlives its term",
        "S4",
        "gateway/desk.py",
        "        allowed = frozenset[UpstreamKey]() if is_new_reign else route.keys\n",
        "        allowed = route.keys\n",
        GATEWAY,
    ),
)
