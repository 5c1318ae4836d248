"""`diagram`: the state machine as a picture, by itself or weighed by what has happened."""

from typing import Any

import click

from controller.cli.entry import targeted
from controller.cli.exits import FAILED, HELP, OK
from controller.cli.reading import Target


@click.command(epilog=HELP)
@click.option(
    "--format",
    "form",
    type=click.Choice(["mermaid", "dot", "svg"]),
    default="mermaid",
    show_default=True,
)
@click.option(
    "--history", is_flag=True, help="Weigh each edge by how often it was taken, and when."
)
@targeted
def diagram(form: str, history: bool, **target: Any) -> None:
    """The state machine, drawn from the table that the program runs by.

    \b
    With --history the ledger of a release is read, verified and counted.

    \b
    Examples:
      memgraph-controller diagram > states.mmd
      memgraph-controller diagram --format svg > states.svg
      memgraph-controller diagram --format dot --history | dot -Tsvg > taken.svg
    """
    nothing: tuple[str, tuple[str, ...], int] = ("", (), OK)
    phase, lines, code = _read(Target(**target)) if history else nothing
    click.echo(drawn(form, phase, lines, is_weighed=history), nl=False)
    raise SystemExit(code)


def drawn(form: str, phase: str, lines: tuple[str, ...], *, is_weighed: bool) -> str:
    """The text of the picture."""
    from controller.web.page import diagram_svg
    from statemachine.codec import decode
    from statemachine.diagram import dot, mermaid
    from statemachine.uses import uses

    if form == "svg":
        return diagram_svg(phase, lines, is_weighed=is_weighed) + "\n"
    taken = uses(map(decode, lines)) if is_weighed else None
    return dot(taken) if form == "dot" else mermaid(taken)


def _read(target: Target) -> tuple[str, tuple[str, ...], int]:
    """Phase, lines of the verified ledger, exit code."""
    from controller.cli import tables
    from controller.cli.evidence import verified_of
    from controller.cli.reading import find_release

    verified = verified_of(find_release(target))
    ledger = verified.ledger
    if verified.trouble:
        tables.loudly(f"the ledger is broken after entry {ledger.seq}: {verified.trouble}")
    return ledger.cluster.phase.value, ledger.lines, FAILED if verified.trouble else OK
