"""`history`: the verified ledger, once or as it grows."""

import json
import threading
from typing import Any

from controller.cli import tables
from controller.cli.evidence import Verified, entries_of, verified_of
from controller.cli.exits import FAILED, NO_ACCESS, OK, Problem
from controller.cli.reading import Release
from statemachine.ledger import Ledger


def show_history(release: Release, since: int, form: str) -> int:
    """Print what is verified; returns the exit code."""
    verified = verified_of(release)
    entries = entries_of(verified.ledger, since)
    if form == "table":
        tables.console().print(tables.history_table(entries))
    else:
        tables.show(entries, form)
    _complain(verified)
    return FAILED if verified.trouble else OK


def _complain(verified: Verified) -> None:
    if verified.trouble:
        seq = verified.ledger.seq
        tables.loudly(f"the ledger is broken after entry {seq}: {verified.trouble}")


class Follower:
    """Prints what was not printed yet. `told` is the trouble that was told last."""

    def __init__(self, release: Release, since: int, form: str) -> None:
        self._release, self._shown, self._form = release, since, form
        self._last: Ledger | None = None
        self.told = ""

    def look(self) -> None:
        """Read once. Raises Problem at the first reading, and when access is denied; later ones
        are told, and waited for."""
        trouble = ""
        try:
            verified = verified_of(self._release)
        except Problem as problem:
            if self._last is None or problem.exit_code == NO_ACCESS:
                raise
            trouble = problem.message
        else:
            trouble = verified.trouble or self._take(verified.ledger)
        if trouble and trouble != self.told:
            tables.loudly(trouble)
        self.told = trouble

    def _take(self, ledger: Ledger) -> str:
        """Print what is new. Returns what is wrong: a chain alone cannot show that it was cut."""
        if self._last is not None and not ledger.continues(self._last):
            return f"the ledger does not go on from entry {self._last.seq} that was shown before"
        entries = entries_of(ledger, self._shown)
        _print_on(entries, self._form, header=self._last is None)
        self._last, self._shown = ledger, max(self._shown, int(ledger.seq))
        return ""


def follow_history(
    release: Release, since: int, form: str, stop: threading.Event, every_s: float
) -> int:
    """Print what is there and what is appended, until `stop` or Ctrl-C; an API server that is away
    for a while is waited for. Returns the exit code."""
    follower = Follower(release, since, form)
    try:
        while not stop.is_set():
            follower.look()
            stop.wait(every_s)
    except KeyboardInterrupt:
        pass
    return FAILED if follower.told else OK


def _print_on(entries: list[dict[str, Any]], form: str, *, header: bool) -> None:
    if form == "table" and (entries or header):
        tables.console().print(tables.history_table(entries, header=header))
    elif form == "yaml" and entries:
        tables.show(entries, form)
    elif form == "json":
        for entry in entries:  # one a line: a stream cannot be one array
            print(json.dumps(entry), flush=True)
