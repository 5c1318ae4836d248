"""Losing a main, and what is said of it; one copy of the ledger."""

from planting import Mutant, core, pod

LOSING: tuple[Mutant, ...] = (
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
        '        return Evidence("the main came back as REPLICA", answer.at_s, '
        "needs_agreement=False)\n",
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
    core(
        "a drained change forgets who may hold a loss",
        "S13",
        "evolve.py",
        "    owing = (c.owing if _is_drained(c) else c.owing | _known(c)) - sync\n",
        "    owing = (frozenset() if _is_drained(c) else c.owing | _known(c)) - sync\n",
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
    # -- mistakes of the earlier controller
    core(
        "negative lag is an error, ahead is healthy",
        "scenario 5",
        "facts.py",
        "        if row.behind is not None and row.behind > 0:\n",
        "        if row.behind is not None and row.behind < 0:\n",
    ),
    core(
        "an instance without an IP has an address",
        "scenario 6",
        "facts.py",
        "    if pod is None or not pod.ip:\n",
        "    if pod is None:\n",
    ),
    core(
        "a fresh cluster over data of an async replica",
        "scenario 15",
        "guards/beginning.py",
        '    return Fact(not full, "; ".join(full) or "none")\n',
        '    return Fact(True, "; ".join(full) or "none")\n',
    ),
    core(
        "bootstrap waits for nobody by name",
        "scenario 20",
        "guards/beginning.py",
        "    missing = [i for i in s.view.policy.eligible if not _is_counted(s, i)]\n",
        "    missing = [i for i in s.view.policy.eligible[:1] if not _is_counted(s, i)]\n",
    ),
    core(
        "silence begins anew with every failed probe",
        "scenario 34",
        "observe.py",
        "    since = seen.failing_since_s if seen.failing_since_s is not None else "
        "failed.asked_at_s\n",
        "    since = failed.asked_at_s\n",
    ),
    core(
        "the main may stop although nobody took over",
        "scenario 68",
        "prestop.py",
        "    if instance == cluster.main:\n        waits",
        "    if instance == cluster.main and not cluster.sync_replicas:\n        waits",
    ),
    core(
        "a paused controller goes on commanding",
        "S15",
        "plan.py",
        "    if f.is_idle(cluster, view):\n        return tuple(_close_requests(cluster, view))\n",
        "",
    ),
    core(
        "a main with foreign storage stays main",
        "S10",
        "facts.py",
        '    if cluster.storage_uuid and answer.storage_uuid not in ("", cluster.storage_uuid):\n',
        '    if cluster.storage_uuid and answer.storage_uuid == "foreign":\n',
    ),
    core(
        "the dead one is expected to answer as candidate",
        "S2",
        "facts.py",
        "        return (not usable, not answers, leaves, instance != cluster.main, instance)\n",
        "        return (leaves, instance != cluster.main, instance)\n",
    ),
    pod(
        "a leader without memory restores an empty ledger",
        "S16",
        "loop.py",
        "        if not self.cluster.seq:\n",
        "        if self.cluster.seq < 0:\n",
    ),
    pod(
        "a leader that cannot read the ledger keeps the Lease",
        "S16",
        "pod.py",
        "trio.current_time() - fit_s >= UNFIT_S:",
        "trio.current_time() - fit_s >= 1e9:",
    ),
    core(
        "the ledger is cut beside a pod that cannot read it",
        "S16",
        "archive.py",
        "g.facts.ledger_format < FORMAT and",
        "g.facts.ledger_format < 0 and",
    ),
)
