"""What gateways owe: Leases, cuts, verified upstreams (S6, S7)."""

from planting import GATEWAY, Mutant, core, pod

GATEWAYS: tuple[Mutant, ...] = (
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
        "a deleted Lease is as old as our last picture of it",
        "S6",
        "observe.py",
        "change(gateway, is_deleted=True, changed_at_s=at_s)\n",
        "change(gateway, is_deleted=True)\n",
    ),
    core(
        "whoever came and went while we were blind is not waited for",
        "S6",
        "view.py",
        "        return seen_s is None or self.now_s - seen_s > self.policy.gateway_barrier_s\n",
        "        return seen_s is None\n",
    ),
    core(
        "a leader whose watch hangs does not look for itself",
        "S6",
        "plan.py",
        "    if view.is_blind or is_closed:\n",
        "    if is_closed:\n",
    ),
    core(
        "a leader that hears nobody loses the main by itself",
        "scenario 11",
        "guards/loss.py",
        "    if s.view.is_blind:\n",
        "    if False:\n",
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
        "    if view.gateways_watched_since_s is None:\n",
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
        "        self._cluster, self._view = cluster, view\n        routes = "
        "route(cluster, view)\n",
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
    pod(
        "a head that is gone confirms what a watch showed",
        "S6",
        "watches.py",
        "        is_there = stored is not None or not chronicle.ledger.seq\n",
        "        is_there = True\n",
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
        "        if answer.incarnation != verified.upstream.incarnation or answer.role "
        "is not Role.MAIN:\n",
        "        if answer.role is Role.UNKNOWN:\n",
    ),
    pod(
        "a main without the sync's row is served",
        "S7",
        "verify.py",
        "    return owed <= present and cluster.sync_replicas <= joined\n",
        "    return True\n",
    ),
    # -- the bytes themselves
    Mutant(
        "the deadline is checked after forwarding",
        "F10",
        "gateway/pump.py",
        "                fence.on_due()\n                continue\n            try:\n"
        "                sent_bytes = write(to, data)\n",
        "                write(to, data)\n                fence.on_due()\n"
        "                continue\n"
        "            try:\n                sent_bytes = write(to, data)\n",
        GATEWAY,
    ),
    Mutant(
        "the deadline is not checked on the long way",
        "F10",
        "gateway/mover.py",
        "        if self._is_fenced(end):\n            return False\n        try:\n"
        "            sent_bytes = os.write(",
        "        try:\n            sent_bytes = os.write(",
        GATEWAY,
    ),
    Mutant(
        "a confirmation of before the dial counts",
        "S7",
        "gateway/hall.py",
        "            if session.touched_at_s <= asked_at_s:\n",
        "            if session.touched_at_s <= now_s:\n",
        GATEWAY,
    ),
    Mutant(
        "sessions of a dropped upstream live on",
        "S7",
        "gateway/desk.py",
        "        gone = [s for s in self.floor.sessions if s.key not in allowed]\n",
        "        gone = [s for s in self.floor.sessions if not route.keys]\n",
        GATEWAY,
    ),
    pod(
        "a session is confirmed whatever its upstream says",
        "S7",
        "gatekeeper.py",
        "            if role is self._expected_role(wish):\n",
        "            if role is not Role.UNKNOWN:\n",
    ),
    pod(
        "a gateway does not look at the storage",
        "S10",
        "verify.py",
        '    if answer.storage_uuid not in ("", cluster.storage_uuid):\n',
        '    if answer.storage_uuid == "foreign":\n',
    ),
    pod(
        "readers on whoever answers",
        "S14",
        "gatekeeper.py",
        "        fits = answer.role is role and ours and ",
        "        fits = ours and ",
    ),
    pod(
        "the relay is not told who may become main",
        "S14",
        "gatekeeper.py",
        "                        may_become_main(view, instance),\n",
        "                        False,\n",
    ),
    Mutant(
        "readers have no deadline in the relay",
        "S14",
        "gateway/deadline.py",
        "        return self._fence if self._is_rw or upstream.may_become_main else None\n",
        "        return self._fence if self._is_rw else None\n",
        GATEWAY,
    ),
    Mutant(
        "a leaving listener begins handshakes until it closes",
        "liveness",
        "gateway/door.py",
        "            wire.begin_no_handshake(listener)\n",
        "            pass\n",
        GATEWAY,
    ),
    core(
        "a silent gateway is waited for in vain",
        "liveness",
        "observe.py",
        "        at = old.changed_at_s if old is not None and same else listed.at_s\n",
        "        at = listed.at_s\n",
    ),
)
