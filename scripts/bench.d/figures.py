"""What was measured, and how it compares: medians with their spread, ratios, goals.

A ratio is taken round by round and is the median of the rounds: whoever else uses the machine is
in both of its halves. The rival is that of the two HAProxies which has the better median. Where a
round has no value (a measure that failed), it is left out of that ratio.
"""

import statistics
from collections.abc import Callable
from typing import Any

import attrs
from peers import DIRECT, GO, HAPROXY, OURS, TUNED, C

Rows = dict[str, dict[str, list[float | None]]]  # what -> who -> one value a round
Ratios = list[float]
Find = Callable[[Rows, str], Ratios]

NAMES = (DIRECT, OURS, HAPROXY, TUNED, GO, C)
LESS_IS_BETTER = ("p50", "p99", "ms", "user", "cpu")


def values(rows: Rows, what: str, who: str) -> list[float]:
    """Of the rounds that have one."""
    return [value for value in rows.get(what, {}).get(who, []) if value is not None]


def is_less_better(what: str) -> bool:
    """Of a figure."""
    return what.startswith(LESS_IS_BETTER)


def ratios(rows: Rows, who: str, what: str, other: str, than: str | None = None) -> Ratios:
    """One's figure to the other's, round by round; `than`: to another figure of the other."""
    ours, theirs = rows.get(what, {}).get(who, []), rows.get(than or what, {}).get(other, [])
    return [a / b for a, b in zip(ours, theirs, strict=False) if a is not None and b]


def better_haproxy(rows: Rows, what: str) -> str:
    """The setting with the better median; "" without any."""
    found = {name: values(rows, what, name) for name in (HAPROXY, TUNED)}
    medians = {name: statistics.median(some) for name, some in found.items() if some}
    pick: Callable[..., str] = min if is_less_better(what) else max
    return pick(medians, key=lambda name: medians[name]) if medians else ""


def to_haproxy(rows: Rows, who: str, what: str, than: str | None = None) -> Ratios:
    """One's figure to that of the better of the two."""
    return ratios(rows, who, what, better_haproxy(rows, than or what), than)


@attrs.frozen
class Goal:
    """What is wanted of a figure.

    Args:
      text: what is compared.
      find: the values of ours, or of another in its place; one a round.
      bound: of their median; `is_least`: it may not be below, else not above.
      unit: of the values; "": a ratio.
    """

    text: str
    find: Find
    bound: float
    is_least: bool
    unit: str = ""

    def is_met(self, found: Ratios) -> bool:
        """Whether the median of them keeps the bound."""
        median = statistics.median(found)
        return median >= self.bound if self.is_least else median <= self.bound

    def reached(self, found: Ratios) -> float:
        """How far the median goes: 1 is just met, more is better."""
        median = statistics.median(found)
        return median / self.bound if self.is_least else self.bound / median


def _haproxy(what: str, than: str | None = None) -> Find:
    return lambda rows, who: to_haproxy(rows, who, what, than)


def _faster(what: str) -> Find:
    return lambda rows, who: [1 / ratio for ratio in to_haproxy(rows, who, what)]


def _other(what: str, other: str) -> Find:
    return lambda rows, who: ratios(rows, who, what, other)


def _plain(what: str) -> Find:
    return lambda rows, who: values(rows, what, who)


def _added(rows: Rows, who: str) -> Ratios:
    by = rows.get("p50 us, 1 connection", {})
    pairs = zip(by.get(who, []), by.get(DIRECT, []), strict=False)
    return [ours - direct for ours, direct in pairs if ours is not None and direct is not None]


P99 = "p99 us at half load"
BUSY = ", busy controller"
GOALS = (
    Goal("requests/s, 128 connections", _haproxy("requests/s, 128 connections"), 1.0, True),
    Goal("requests/s, 1000 connections", _haproxy("requests/s, 1000 connections"), 1.0, True),
    Goal("p50, 1 connection", _haproxy("p50 us, 1 connection"), 1.05, False),
    Goal("p99 at half load, all beside a busy controller", _haproxy(P99 + BUSY), 1.2, False),
    Goal("the same to a HAProxy without one", _haproxy(P99 + BUSY, P99), 1.2, False),
    Goal("MB/s down", _haproxy("MB/s down"), 1.0, True),
    Goal("MB/s up", _haproxy("MB/s up"), 1.0, True),
    Goal("MB/s down, to HAProxy as it comes", _other("MB/s down", HAPROXY), 2.0, True),
    Goal("new connections/s", _haproxy("new connections/s"), 1.0, True),
    Goal("user memory a session", _haproxy("user kB a session, 5000"), 0.2, False),
    Goal("how much faster 1000 are cut", _faster("ms to cut 1000"), 2.0, True),
    Goal("how much faster 5000 are cut", _faster("ms to cut 5000"), 2.0, True),
    Goal("TLS requests/s", _haproxy("TLS requests/s"), 0.6, True),
    Goal(
        "requests/s, 128 connections, to Go", _other("requests/s, 128 connections", GO), 1.3, True
    ),
    Goal("latency added at 1 connection", _added, 15.0, False, "µs"),
    Goal("1000 sessions cut, busy controller", _plain("ms to cut 1000" + BUSY), 50.0, False, "ms"),
    Goal("reads/s of two replicas to one", _plain("reads/s, 2 to 1"), 1.8, True),
)


def number(value: float) -> str:
    """As many digits as mean something."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def spread(found: list[float]) -> str:
    """Median (least to most)."""
    if not found:
        return "-"
    middle = number(statistics.median(found))
    return f"{middle} ({number(min(found))} to {number(max(found))})"


def goal_rows(rows: Rows) -> list[tuple[str, str, str, str, str]]:
    """Goal, bound, found, what the same design in C has, whether it is met."""
    lines = []
    for goal in GOALS:
        found, in_c = goal.find(rows, OURS), goal.find(rows, C)
        sign, unit = "≥" if goal.is_least else "≤", f" {goal.unit}" if goal.unit else ""
        told = [spread(some) + unit if some else "-" for some in (found, in_c)]
        lines.append((goal.text, f"{sign} {goal.bound:g}{unit}", *told, verdict(goal, found, in_c)))
    return lines


def verdict(goal: Goal, found: Ratios, in_c: Ratios) -> str:
    """Whether it is met; if not, whether C in the place of Python would."""
    if not found:
        return "not measured"
    if goal.is_met(found):
        return "yes"
    if not in_c:
        return "**no**"
    return "**no**; C would" if goal.is_met(in_c) else "**no**; nor would C"


def document(machine: dict[str, Any], rounds: int, rows: Rows, failed: list[str]) -> dict[str, Any]:
    """What --json writes, and the page is made of."""
    return {"machine": machine, "rounds": rounds, "failed": failed, "figures": rows}
