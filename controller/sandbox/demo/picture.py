"""What people see of a running demo: a live picture in a terminal, plain lines elsewhere."""

import time

from rich.box import SIMPLE
from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from controller.sandbox.demo.book import Fault, entries_of
from controller.sandbox.demo.stage import Stage

COLOURS = {
    "OPERATIONAL": "green",
    "DEGRADED": "yellow",
    "FAILOVER": "red",
    "BOOTSTRAP": "cyan",
    "main": "bold green",
    "sync": "cyan",
    "async": "blue",
}
BARS = " ▁▂▃▄▅▆▇█"
SECONDS_SHOWN = 40
EVENTS_SHOWN = 8


def spark(times: list[float], now: float) -> str:
    """Successes per second of the last seconds, as little bars."""
    counts = [0] * SECONDS_SHOWN
    for at in reversed(times):
        age = int(now - at)
        if age >= SECONDS_SHOWN:
            break
        if age >= 0:
            counts[SECONDS_SHOWN - 1 - age] += 1
    top = max([*counts, 1])
    return "".join(BARS[-(-c * (len(BARS) - 1) // top)] for c in counts)


def picture(stage: Stage) -> Panel:
    """The present state as one panel."""
    sandbox, book, now = stage.sandbox, stage.book, time.time()
    phase = sandbox.noted("phase") or "no ledger yet"
    head = Text.assemble(
        ("phase ", "dim"),
        (phase, COLOURS.get(phase, "")),
        ("   term ", "dim"),
        sandbox.noted("term"),
        ("   now ", "dim"),
        (stage.current, "bold"),
    )
    writes = sorted(book.acked.values())
    rates = Table.grid(padding=(0, 2))
    rates.add_row("writes/s", spark(writes, now), f"{len(writes)} acknowledged")
    rates.add_row("reads/s", spark(book.reads_at, now), f"{len(book.reads_at)} answered")
    return Panel(
        Group(head, "", _instances(stage), "", rates, "", _events(stage)),
        title="memgraph-controller demo: the controllers are real, Memgraph and Kubernetes are not",
    )


def _instances(stage: Stage) -> Table:
    sandbox = stage.sandbox
    table = Table.grid(padding=(0, 2))
    replicas = sandbox.noted("sync").split(",")
    for name in sandbox.instances:
        is_main = name == sandbox.noted("main")
        role = "main" if is_main else "sync" if name in replicas else "async"
        table.add_row(name, Text(role, COLOURS[role]), sandbox.bolt(name))
    for name in sandbox.controllers:
        role = "leader" if name == sandbox.leader() else "standby"
        table.add_row(name, role, f"rw {sandbox.gateway(name)}  ro {sandbox.read_gateway(name)}")
    return table


def _events(stage: Stage) -> Table:
    table = Table.grid(padding=(0, 2))
    for entry in entries_of(stage.sandbox.ledger())[-EVENTS_SHOWN:]:
        to = Text(str(entry["to"]), COLOURS.get(str(entry["to"]), ""))
        table.add_row(str(entry["at"])[11:23], str(entry["on"]), to, str(entry["why"])[:70])
    return table


class Screen:
    """Shows the stage: `with Screen(console, stage) as screen: screen.update()`."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._live: Live | None = None
        self._said: list[str] = []

    def open(self, stage: Stage) -> None:
        """Begin the live picture, where there is a terminal."""
        if self.console.is_terminal:
            self._live = Live(picture(stage), console=self.console, auto_refresh=False)
            self._live.start()

    def update(self, stage: Stage) -> None:
        """Draw anew."""
        if self._live is not None:
            self._live.update(picture(stage), refresh=True)

    def close(self) -> None:
        """End the live picture; it stays on the screen as it was last."""
        if self._live is not None:
            self._live.stop()
            self._live = None

    def say(self, text: str) -> None:
        """A line for people."""
        stamp = time.strftime("%H:%M:%S")
        self.console.print(f"{stamp} {text}", highlight=False, markup=False)


def fault_table(faults: list[Fault]) -> Table:
    """Milliseconds since the injection, one row a fault."""
    table = Table(title="faults, in ms since the injection", title_justify="left", box=SIMPLE)
    table.add_column("fault", no_wrap=True)
    table.add_column("target", no_wrap=True)
    heads = ("detected", "fenced", "promoted", "first write", "redundant", "write gap", "read gap")
    for head in heads:
        table.add_column(head.replace(" ", "\n"), justify="right", no_wrap=True)
    for f in faults:
        figures = (
            f.detect_ms,
            f.fence_ms,
            f.promote_ms,
            f.first_write_ms,
            f.operational_ms,
            f.write_gap_ms,
            f.read_gap_ms,
        )
        table.add_row(f.name, f.target, *("-" if v is None else str(v) for v in figures))
    return table
