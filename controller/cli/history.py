"""`history`: the verified ledger, live part and archives, once or as it grows."""

import json
import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from controller.cli import tables
from controller.cli.exits import FAILED, NO_ACCESS, OK, Problem
from controller.cli.moments import Since
from controller.cli.pieces import chain_of
from controller.cli.reading import Release
from controller.cli.term_timeline import change_of_term, document_of, rows_of, steps_of
from controller.cli.then import document_at
from controller.cli.then import rows_of as rows_then
from statemachine.chain import Chain
from statemachine.ledger import digest

Reading = Callable[[int], Chain]  # a verified history from the entry after this one on
Document = dict[str, Any]
TERM_COLUMNS = ("STEP", "ENTRY", "AT", "AFTER", "WHAT")


def entries_in(chain: Chain, since: Since) -> list[Document]:
    """The entries that are asked for, oldest first."""
    parsed = (json.loads(line) for _, line in chain.entries())
    return [entry for entry in parsed if since.has(entry)]


def show_history(read: Reading, since: Since, form: str) -> int:
    """Print what is verified; returns the exit code."""
    chain = read(since.seq)
    entries = entries_in(chain, since)
    if form == "table":
        tables.console().print(tables.history_table(entries))
    else:
        tables.show(entries, form)
    return complain(chain)


def show_then(read: Reading, at: datetime, form: str) -> int:
    """Print what was known at a time; returns the exit code."""
    chain = read(0)
    document = document_at(chain, at)
    if form == "table":
        tables.console().print(tables.columns(("", ""), rows_then(document), header=False))
    else:
        tables.show(document, form)
    return complain(chain)


def show_term(read: Reading, term: int, form: str) -> int:
    """Print one change of main; returns the exit code."""
    chain = read(0)
    change = change_of_term(entries_in(chain, Since()), term)
    steps = steps_of(change)
    if form == "table":
        tables.console().print(tables.columns(TERM_COLUMNS, rows_of(steps)))
    else:
        tables.show(document_of(term, change, steps), form)
    return complain(chain)


def complain(chain: Chain) -> int:
    """Say on stderr what is wrong and what is good to know; returns the exit code."""
    for note in chain.notes:
        tables.console(stderr=True).print(f"note: {note}")
    for fault in chain.faults:
        where = f"the ledger is broken after entry {fault.seq - 1}"
        tables.loudly(f"{where}: {fault.what} ({fault.place})")
    return FAILED if chain.faults else OK


class Follower:
    """Prints what was not printed yet. `told` is the trouble that was told last."""

    def __init__(self, release: Release, since: Since | int, form: str) -> None:
        self._release, self._form = release, form
        self._since = Since(since) if isinstance(since, int) else since
        self._shown, self._last = self._since.seq, ""  # the last entry seen, and its hash
        self._began = False
        self.told = ""

    def look(self) -> None:
        """Read once. Raises Problem at the first reading, and when access is denied; later ones
        are told, and waited for."""
        try:
            trouble = self._take(chain_of(self._release, max(self._shown - 1, 0)))
        except Problem as problem:
            if not self._began or problem.exit_code == NO_ACCESS:
                raise
            trouble = problem.message
        if trouble and trouble != self.told:
            tables.loudly(trouble)
        self.told = trouble

    def _take(self, chain: Chain) -> str:
        """Print what is new. Returns what is wrong: a chain alone cannot show that it was cut."""
        lines = dict(chain.entries())
        is_ours = not self._last or digest(lines.get(self._shown, "")) == self._last
        if chain.faults and (self._began or not lines):
            return str(chain.faults[0])
        if not is_ours:
            return f"the ledger does not go on from entry {self._shown} that was shown before"
        new = [json.loads(line) for seq, line in lines.items() if seq > self._shown]
        _print_on([e for e in new if self._since.has(e)], self._form, header=not self._began)
        self._began = True
        if lines and max(lines) >= self._shown:
            self._shown = max(lines)
            self._last = digest(lines[self._shown])
        return str(chain.faults[0]) if chain.faults else ""


def follow_history(
    release: Release, since: Since | int, form: str, stop: threading.Event, every_s: float
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


def _print_on(entries: Sequence[Document], form: str, *, header: bool) -> None:
    if form == "table" and (entries or header):
        tables.console().print(tables.history_table(entries, header=header))
    elif form == "yaml" and entries:
        tables.show(list(entries), form)
    elif form == "json":
        for entry in entries:  # one a line: a stream cannot be one array
            print(json.dumps(entry), flush=True)
