"""What a torture has found, as figures and as lines for people. Pure."""

import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any

from attrs import asdict

from torture.bounds import upper_bound
from torture.chapter import Chapter, rounds_with_losses

MEASURED = {  # word of the figures -> field of a round, milliseconds
    "whole": "ms",
    "write": "write_gap_ms",
    "writer": "writer_gap_ms",
    "read": "read_gap_ms",
    "reader": "reader_gap_ms",
}
TITLES = ("whole again", "nobody writes", "one writer", "nobody reads", "one reader")
KUBERNETES = ["Kubernetes API server", "kubelet", "StatefulSet controller"]


def stand_ins(memgraph: str) -> list[str]:
    """What was imitated."""
    return KUBERNETES if memgraph else [*KUBERNETES, "Memgraph"]


def figures(chapters: Sequence[Chapter], seed: int, memgraph: str, took_s: float) -> dict[str, Any]:
    """Everything, for `--json`."""
    rounds = [r for c in chapters for r in c.rounds]
    lost = rounds_with_losses(chapters)
    losses = [loss for c in chapters for loss in c.losses]
    outcomes: Counter[str] = sum((c.book.outcomes for c in chapters), Counter())
    failed = [c for c in chapters if c.problems]
    return {
        "verdict": "failed" if failed or not rounds else "ok",
        "seed": seed,
        "stand_ins": stand_ins(memgraph),
        "took_s": round(took_s, 1),
        "sandboxes": len(chapters),
        "rounds": len(rounds),
        "faults": dict(sorted(Counter(r.fault for r in rounds if r.was_done).items())),
        "not_done": dict(sorted(Counter(r.fault for r in rounds if not r.was_done).items())),
        "failovers": sum(c.is_failover for chapter in chapters for c in chapter.changes),
        "changes": changes_by_kind(chapters),
        "verdicts": dict(Counter(c.verdict for chapter in chapters for c in chapter.changes)),
        "ledger_events": sum(len(c.triggers) for c in chapters),
        "acknowledged": sum(len(c.book.acked) for c in chapters),
        "outcomes": dict(sorted(outcomes.items())),
        "lost": len(losses),
        "lost_unannounced": sum(not loss.is_announced for loss in losses),
        "phantoms": sum(len(c.phantoms) for c in chapters),
        "sandboxes_that_differ": sum(c.differs for c in chapters),
        "refused_instances": sum(c.triggers.count("instance_refused") for c in chapters),
        "resets": sum(c.triggers.count("reset_done") for c in chapters),
        "max_mains_served": max((c.mains_served for c in chapters), default=0),
        "looks_at_routes": sum(c.looks for c in chapters),
        "empty_audits": sum(c.book.empty_audits for c in chapters),
        "rounds_with_losses": len(lost),
        "loss_rate_upper_95": upper_bound(len(lost), len(rounds)),
        "failed_sandboxes": len(failed),
        "failed_rate_upper_95": upper_bound(len(failed), len(rounds)),
        "gaps_ms": gaps(chapters),
        "each_round": [asdict(r) for r in rounds],
        "problems": [f"seed {c.seed}: {p}" for c in failed for p in c.problems],
        "kept": [c.kept for c in chapters if c.kept],
        "errors": dict(sum((c.book.errors for c in chapters), Counter[str]()).most_common(20)),
    }


def changes_by_kind(chapters: Sequence[Chapter]) -> dict[str, int]:
    """How often each way to a new term was gone through."""
    return dict(Counter(c.begun_on for chapter in chapters for c in chapter.changes))


def gaps(chapters: Sequence[Chapter]) -> dict[str, dict[str, float]]:
    """By fault: median and longest of each round's longest time without a success: of anybody's
    writes and reads, and of the unluckiest writer's and reader's; and until all was whole."""
    rounds = [r for c in chapters for r in c.rounds if r.was_done]
    found: dict[str, dict[str, float]] = {}
    for name in sorted({r.fault for r in rounds}):
        mine = [r for r in rounds if r.fault == name]
        found[name] = {"rounds": len(mine)}
        for what, gap in MEASURED.items():
            values = [getattr(r, gap) for r in mine]
            found[name] |= {
                f"{what}_median": statistics.median(values),
                f"{what}_longest": max(values),
            }
    return found


def told(result: dict[str, Any]) -> list[str]:
    """Lines for people."""
    head = "".join(f"{title:>17}" for title in TITLES)
    lines = [
        f"{'milliseconds':28} rounds {head}",
        f"{'':28}        " + "  median  longest" * len(MEASURED),
    ]
    for name, g in result["gaps_ms"].items():
        both = "".join(f"{g[f'{w}_median']:8.0f} {g[f'{w}_longest']:8.0f}" for w in MEASURED)
        lines.append(f"{name:28} {g['rounds']:6.0f} {both}")
    rate = 100 * result["loss_rate_upper_95"]
    lines += [
        f"{result['rounds']} rounds in {result['sandboxes']} sandboxes, {result['took_s']:.0f} s; "
        f"imitated: {', '.join(result['stand_ins'])}",
        f"changes of main {result['changes']}, {result['failovers']} of them failovers; "
        f"verdicts {result['verdicts']}; {result['ledger_events']} ledger events, verified",
        f"{result['acknowledged']} writes acknowledged: {result['lost']} lost "
        f"({result['lost_unannounced']} unannounced), {result['phantoms']} phantoms, "
        f"{result['sandboxes_that_differ']} sandboxes differ, "
        f"{result['refused_instances']} instances refused",
        f"at most {result['max_mains_served']} main served in {result['looks_at_routes']} looks",
        f"{result['rounds_with_losses']} of {result['rounds']} rounds lost something: "
        f"with 95 % confidence less than {rate:.2f} % do",
    ]
    lines += [f"FAILED: {problem}" for problem in result["problems"]]
    lines += [f"kept: {place}" for place in result["kept"]]
    return [*lines, f"verdict: {result['verdict']}"]
