"""Mistakes about the ledger itself: deleted, cut, edited, restored."""

from planting import Mutant, core, pod

LEDGER: tuple[Mutant, ...] = (
    pod(
        "a deleted ledger is a fresh cluster",
        "S16",
        "chronicle.py",
        "            self._stored = self._ahead = None\n"
        "            self._tell(why_gone(self.ledger.seq, self._told_seq))\n",
        "            self._stored = self._ahead = None\n            self.ledger = Ledger()\n",
    ),
    core(
        "a ledger that is gone is begun anew",
        "S16",
        "ledger.py",
        "    if not told_seq:\n",
        "    if told_seq >= 0:\n",
    ),
    pod(
        "a ledger is begun before the gateways' Leases are known",
        "S16",
        "loop.py",
        "        if not self.cluster.seq and self.view.gateways_watched_since_s is None:\n",
        "        if self.view.gateways_watched_since_s == -1.0:\n",
    ),
    pod(
        "an edited tail is believed",
        "S16",
        "chronicle.py",
        "        if edited := broken_seal(found.seq, found.head, stored.annotations):\n",
        '        if edited := "":\n',
    ),
    pod(
        "a ledger is restored without a write of unknown outcome",
        "S16",
        "chronicle.py",
        "        is_open = self.is_uncertain and self._attempted.continues(self.ledger)\n",
        "        is_open = False\n",
    ),
    pod(
        "a ledger is restored without an entry that its seal tells of",
        "S16",
        "loop.py",
        "        if unheld := self.chronicle.unheld_seq:\n",
        "        if unheld := 0:\n",
    ),
    pod(
        "who lost the Lease while it restored goes on",
        "S1",
        "loop.py",
        "            return False  # the Lease was lost meanwhile: who leads now begins anew\n",
        "            pass\n",
    ),
    pod(
        "a cut ledger is believed",
        "S16",
        "chronicle.py",
        "        elif found.continues(self.ledger):\n",
        "        elif found.continues(self.ledger) or self.ledger.continues(found):\n",
    ),
)
