"""`./scripts/demo`: a whole cluster on this machine, broken again and again, and every write looked
for afterwards."""

import json
import statistics
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import trio
from attrs import asdict
from rich.console import Console

from controller.cli.exits import FAILED, HELP, Problem
from controller.cli.sandbox import MEMGRAPH
from controller.sandbox.demo.book import Verdict, check, entries_of, medians, renewals
from controller.sandbox.demo.picture import Screen, fault_table
from controller.sandbox.demo.stage import DEFAULT_FAULTS, FAULTS, Stage
from controller.sandbox.pod_network import NoPodNetwork
from controller.sandbox.world import SandboxOptions, open_sandbox

DRAW_S = 0.25
LEDGER_LINES_SHOWN = 30
PLAIN_WIDTH = 120  # columns where there is no terminal to ask


@click.command(epilog=HELP)
@click.option(
    "--fault",
    "faults",
    multiple=True,
    type=click.Choice(list(FAULTS)),
    help=f"Only this one (repeatable). Default: {', '.join(DEFAULT_FAULTS)}.",
)
@click.option("--rounds", default=1, show_default=True, type=click.IntRange(1, 1000))
@click.option("--instances", default=3, show_default=True, type=click.IntRange(2, 9))
@click.option("--controllers", default=2, show_default=True, type=click.IntRange(1, 9))
@click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting of the controllers (repeatable), such as EPOCH_RENEWAL=off.",
)
@MEMGRAPH
@click.option(
    "--json",
    "json_path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write the result there.",
)
def demo(
    faults: tuple[str, ...],
    rounds: int,
    instances: int,
    controllers: int,
    assignments: tuple[str, ...],
    memgraph: str,
    json_path: Path | None,
) -> None:
    """Break a cluster under load and show that nothing acknowledged is lost.

    Starts a sandbox (stand-ins for Kubernetes and, without --memgraph, Memgraph; real controller
    pods), writers and readers, does the faults one after the other, reads every instance, and
    compares with the clients' own book. Exit code 1 if anything was lost or did not come back.
    """
    chosen = faults or DEFAULT_FAULTS
    env = environment_of(assignments)
    options = SandboxOptions(
        instances=instances, controllers=controllers, env=env, memgraph=memgraph
    )
    is_terminal = Console().is_terminal
    screen = Screen(Console() if is_terminal else Console(width=PLAIN_WIDTH))
    try:
        result = trio.run(_demo, options, chosen, rounds, screen)
    except NoPodNetwork as error:
        raise Problem(str(error), FAILED) from error
    if json_path is not None:
        json_path.write_text(json.dumps(result, indent=2) + "\n")
    sys.exit(FAILED if result["verdict"] != "ok" else 0)


def environment_of(assignments: Sequence[str]) -> dict[str, str]:
    """NAME=VALUE words as a mapping. Raises click.BadParameter."""
    pairs = [word.partition("=") for word in assignments]
    if bad := [name for name, sign, _ in pairs if not (name and sign)]:
        raise click.BadParameter(f"{bad[0]!r} is not NAME=VALUE", param_hint="--set")
    return {name: value for name, _, value in pairs}


async def _demo(
    options: SandboxOptions, faults: tuple[str, ...], rounds: int, screen: Screen
) -> dict[str, Any]:
    screen.say(f"starting {options.instances} instances and {options.controllers} controllers")
    async with open_sandbox(options) as sandbox:
        stage = Stage(sandbox, screen.say)
        screen.open(stage)
        try:
            failure = await _play(stage, faults, rounds, screen)
        finally:
            screen.close()
        found = await stage.read_instances()
        verdict = check(stage.book, found, sandbox.ledger(), stage.served.most)
        ledger = sandbox.history()
    problems = [*verdict.problems, *([failure] if failure else [])]
    _report(stage, ledger, problems, screen.console)
    return result_of(stage, ledger, verdict, problems)


async def _play(stage: Stage, faults: tuple[str, ...], rounds: int, screen: Screen) -> str:
    """Everything with clients on; returns what failed, "" when nothing did."""
    failure = ""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_draw, stage, screen)
        try:
            await stage.wait_ready()
            screen.say("the cluster is whole; clients begin")
            await nursery.start(stage.run_clients)
            nursery.start_soon(stage.served.run)
            for number in range(1, rounds + 1):
                for name in faults:
                    await stage.play(name, number)
            await trio.sleep(1.0)
        except trio.TooSlowError:
            failure = f"not whole again in time: {stage.current}"
        nursery.cancel_scope.cancel()
    if not failure:
        await stage.wait_replicated()
    return failure


async def _draw(stage: Stage, screen: Screen) -> None:
    while True:
        screen.update(stage)
        await trio.sleep(DRAW_S)


def stand_ins_of(options: SandboxOptions) -> list[str]:
    """What is imitated in such a sandbox."""
    kubernetes = ["Kubernetes API server", "kubelet", "StatefulSet controller"]
    return kubernetes if options.memgraph else [*kubernetes, "Memgraph"]


def result_of(
    stage: Stage, ledger: Mapping[str, str], verdict: Verdict, problems: list[str]
) -> dict[str, Any]:
    """What `--json` writes."""
    renewed = renewals(stage.book, entries_of(ledger))
    gaps = [r.write_gap_ms for r in renewed]
    return {
        "verdict": "ok" if not problems else "failed",
        "problems": problems,
        "stand_ins": stand_ins_of(stage.sandbox.options),
        "acknowledged_writes": len(stage.book.acked),
        "lost_writes": verdict.lost_writes,
        "refused_but_present": len(verdict.phantom),
        "unknown_writes": len(stage.book.unknown),
        "refused_writes": len(stage.book.refused),
        "ro_writes_accepted": stage.book.intruded,
        "wrong_role_errors_rw": len(stage.book.wrong_role),
        "max_mains_routed": stage.served.most,
        "ledger_events": len(ledger),
        "ledger_valid": not verdict.ledger_problem,
        "controller_memory_mib": {k: round(v / 1024, 1) for k, v in stage.memory_kib.items()},
        "faults": [{"fault": f.name, **asdict(f)} for f in stage.faults],
        "medians": medians(stage.faults),
        "refused_instances": sum(f.refused for f in stage.faults),
        "renewals": [asdict(r) for r in renewed],
        "renewal_write_gap_ms": statistics.median(gaps) if gaps else None,
    }


def _report(stage: Stage, ledger: Mapping[str, str], problems: list[str], console: Console) -> None:
    shown = sorted(ledger)[-LEDGER_LINES_SHOWN:]
    console.print(f"\nthe last {len(shown)} of {len(ledger)} ledger entries, as kubectl prints")
    console.print("data:")
    for key in shown:
        console.print(f'  "{key}": |', markup=False, highlight=False)
        console.print("    " + ledger[key].rstrip(), markup=False, highlight=False, soft_wrap=True)
    console.print()
    console.print(fault_table(stage.faults))
    book = stage.book
    console.print(
        f"{len(book.acked)} writes acknowledged, {len(book.refused)} refused, {len(book.unknown)} "
        f"of unknown outcome; {len(book.reads_at)} reads; {len(entries_of(ledger))} events",
        highlight=False,
    )
    for problem in problems:
        console.print(f"FAILED: {problem}", style="bold red", highlight=False)
    if not problems:
        console.print("every acknowledged write stands on every instance", style="bold green")


if __name__ == "__main__":
    demo()
