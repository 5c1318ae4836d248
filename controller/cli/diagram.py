"""`diagram`: the state machine as a picture, by itself or weighed by what has happened."""

from pathlib import Path
from typing import Any

import click

from controller.cli.entry import targeted
from controller.cli.exits import HELP, OK
from controller.cli.history_commands import from_files, reader_of
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
@from_files
@targeted
def diagram(form: str, history: bool, files: tuple[Path, ...], **target: Any) -> None:
    """The state machine, drawn from the table that the program runs by.

    \b
    With --history the ledger of a release and its archives are read, verified and counted.

    \b
    Examples:
      memgraph-controller diagram > states.mmd
      memgraph-controller diagram --format svg > states.svg
      memgraph-controller diagram --format dot --history | dot -Tsvg > taken.svg
    """
    nothing: tuple[str, tuple[str, ...], int] = ("", (), OK)
    phase, lines, code = _read(Target(**target), files) if history or files else nothing
    click.echo(drawn(form, phase, lines, is_weighed=history or bool(files)), nl=False)
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


def _read(target: Target, files: tuple[Path, ...]) -> tuple[str, tuple[str, ...], int]:
    """Phase, lines of the verified history, exit code."""
    from controller.cli.history import complain

    chain = reader_of(files, target)(0)
    lines = tuple(line for _, line in chain.entries())
    return chain.cluster.phase.value, lines, complain(chain)
