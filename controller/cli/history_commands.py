"""The commands that read the past: `history` and `verify`.

What a newcomer gets wrong: this module is imported to print any help, so what reads a cluster is
imported by the command that needs it.
"""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from controller.cli.entry import output, targeted
from controller.cli.exits import HELP, USAGE, Problem
from controller.cli.reading import Target, find_release

if TYPE_CHECKING:
    from statemachine.chain import Chain

FOLLOW_S = 1.0  # between two reads of the ledger
F = TypeVar("F", bound=Callable[..., Any])


def from_files(command: F) -> F:
    """The option that says which files to read instead of a cluster."""
    return click.option(
        "--file",
        "files",
        multiple=True,
        type=click.Path(path_type=Path),
        help="Read these instead of a cluster: files or directories with what `kubectl get "
        "configmap -o yaml` prints of the ledger and its archives. May be given several times.",
    )(command)


def reader_of(files: tuple[Path, ...], target: Target) -> "Callable[[int], Chain]":
    """Where the history is read from. Raises Problem."""
    from controller.cli.pieces import chain_of, pieces_in

    if files:
        return pieces_in(files, target.release).chain
    return partial(chain_of, find_release(target))


@click.command(epilog=HELP)
@targeted
@from_files
@click.option("--since", default="", help="Entries after this one (40), or from a time on (2h).")
@click.option("-f", "--follow", is_flag=True, help="Go on with what is appended.")
@click.option("--at", "at", default="", help="What the ledger knew at this time.")
@click.option(
    "--term", type=click.IntRange(0), help="The change of main of this term, step by step."
)
@output("table", "json", "yaml")
def history(
    form: str,
    since: str,
    follow: bool,
    at: str,
    term: int | None,
    files: tuple[Path, ...],
    **target: str,
) -> None:
    """Every transition of the cluster, from the verified ledger and its archives.

    \b
    Decisions that were refused, and requests of people that were, are entries too. A time is
    2026-03-01T12:00:00Z (UTC without a zone), or how long ago: 90s, 15m, 2h, 3d. A broken ledger
    is shown as far as it can be verified, with exit code 1.

    \b
    Examples:
      memgraph-controller history
      memgraph-controller history --since 40 --follow
      memgraph-controller history --at 2026-03-01T12:00:00Z
      memgraph-controller history --term 7
      kubectl get cm -l memgraph-controller/release=prod -o yaml > ledger.yaml
      memgraph-controller history --file ledger.yaml -o json | jq '.[] | select(.to == "FAILOVER")'
    """
    from controller.cli import history as h
    from controller.cli.moments import since_of, time_from

    if sum((follow, bool(at), term is not None)) > 1 or (since and (at or term is not None)):
        raise Problem("--at and --term go with no other choice of entries", USAGE)
    if follow and files:
        raise Problem("--follow needs a cluster: files do not grow", USAGE)
    now, asked = datetime.now(UTC), Target(**target)
    begins = since_of(since, now)
    if follow:
        release = find_release(asked)
        raise SystemExit(h.follow_history(release, begins, form, threading.Event(), FOLLOW_S))
    read = reader_of(files, asked)
    if at:
        raise SystemExit(h.show_then(read, time_from(at, now), form))
    if term is not None:
        raise SystemExit(h.show_term(read, term, form))
    raise SystemExit(h.show_history(read, begins, form))


@click.command(epilog=HELP)
@targeted
@from_files
@click.option(
    "--head", "heads", multiple=True, help="A hash that was kept elsewhere: it must be in."
)
@output("table", "json", "yaml")
def verify(form: str, heads: tuple[str, ...], files: tuple[Path, ...], **target: str) -> None:
    """Whether the history is whole: chain, positions, terms, edges, snapshots, archives.

    \b
    Exit code 1 and the first bad entry if not. It is checked against itself: keep a head hash
    outside of the cluster and give it with --head, for a whole history can be written anew.

    \b
    Examples:
      memgraph-controller verify
      memgraph-controller verify --head 5f1c9a36e0c24b7d8f3a6b1c2d4e5f60
      memgraph-controller verify --file backup/ -o json
    """
    from controller.cli.verifying import show_verdict

    chain = reader_of(files, Target(**target))(0)
    raise SystemExit(show_verdict(chain, heads, form))
