"""`whatif`: what would happen if something broke, by the rules that run the cluster. No effect."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import click

from controller.cli import tables
from controller.cli.entry import from_controller, output, targeted
from controller.cli.exits import FAILED, HELP, NOT_FOUND, OK, USAGE, Problem
from controller.cli.history_commands import from_files, reader_of
from controller.cli.reading import Json, Target

PATH = "/api/v1/whatif"
COLUMNS = ("AFTER", "WHAT", "WHY")
GUARD_COLUMNS = ("GUARD", "SAW")
ASSUMED = "assumed: every instance was well then, and the settings were the defaults"


@click.command(epilog=HELP)
@click.option("--kill", multiple=True, metavar="INSTANCE", help="Its process is gone for good.")
@click.option("--hang", multiple=True, metavar="INSTANCE", help="It answers nothing any more.")
@click.option(
    "--partition",
    "cut",
    multiple=True,
    metavar="A,B",
    help="These two (instances or controller pods) cannot reach each other.",
)
@click.option("--now", is_flag=True, help="Nothing breaks: what is about to be decided anyway.")
@click.option("--at", "seq", type=click.IntRange(min=1), help="As of this entry of the ledger.")
@click.option("--guards", is_flag=True, help="Show what each guard of each event saw.")
@from_files
@from_controller
@output("table", "json", "yaml")
@targeted
def whatif(
    now: bool,
    seq: int | None,
    files: tuple[Path, ...],
    guards: bool,
    form: str,
    http_port: int,
    url: str,
    **options: Any,
) -> None:
    """Ask the rules what they would do; nothing is done, and nothing is written.

    \b
    The leader plays it through in thought, from what it sees now: who would be candidate, which
    guards agree, what would be commanded, what might be lost. Commands succeed at once in there:
    the steps are right, the times are the shortest possible.
    Exit code 1 when writes would stay closed until somebody comes back.

    \b
    Examples:
      memgraph-controller whatif --kill memgraph-0
      memgraph-controller whatif --kill memgraph-0 --kill memgraph-1 --guards
      memgraph-controller whatif --partition memgraph-0,memgraph-1
      memgraph-controller whatif --at 40 --hang memgraph-1
    """
    asked = {kind: options.pop(kind) for kind in ("kill", "hang", "cut")}
    if not now and not any(asked.values()):
        raise Problem("what shall break? --kill, --hang, --partition, or --now for nothing", USAGE)
    target = Target(**options)
    if files and not seq:
        raise Problem("files hold the past: say which entry with --at", USAGE)
    document = _then(target, files, seq, asked) if seq else _asked(target, url, http_port, asked)
    if form == "table":
        _print(document, guards)
    else:
        tables.show(document, form)
    raise SystemExit(OK if document["writes_closed_s"] is not None else FAILED)


def _asked(target: Target, url: str, http_port: int, asked: Mapping[str, Sequence[str]]) -> Json:
    from controller.cli.leader import ask_leader

    return ask_leader(target, url, http_port, f"{PATH}?{urlencode(asked, doseq=True)}")


def _then(
    target: Target, files: tuple[Path, ...], seq: int, asked: Mapping[str, Sequence[str]]
) -> Json:
    """From the ledger alone."""
    from controller.web.whatif import Nonsense, foresight_document, supposition
    from statemachine.supposed import supposed_view
    from statemachine.view import Policy

    chain = reader_of(files, target)(0)
    cluster = chain.cluster_at(seq)
    if cluster is None:
        raise Problem(f"the history holds entries {chain.first} to {chain.cluster.seq}", NOT_FOUND)
    eligible = tuple(sorted(cluster.sync)) or ((cluster.main,) if cluster.main else ())
    view = supposed_view(cluster, Policy(eligible=eligible))
    try:
        found = foresight_document(cluster, view, supposition(asked))
    except Nonsense as error:
        raise Problem(str(error), NOT_FOUND) from error
    return {"pod": "", "is_leader": False, **found}


def _print(document: Json, guards: bool) -> None:
    out = tables.console()
    rows = [(f"{s['after_s']:.2f}s", s["what"], s["why"]) for s in document["steps"]]
    if rows:
        out.print(tables.columns(COLUMNS, rows))
        out.print()
    if guards:
        for step in document["steps"]:
            if step["facts"]:
                out.print(f"{step['what']}:", markup=False)
                out.print(tables.columns(GUARD_COLUMNS, step["facts"].items(), header=False))
                out.print()
    out.print(_source(document), markup=False)
    for reason in document["refusals"]:
        out.print(f"refused: {reason}", markup=False)
    if document["writes_closed_s"] is None:
        tables.loudly(document["ends"])
    else:
        out.print(document["ends"], markup=False)


def _source(document: Json) -> str:
    if not document["pod"]:
        return f"from entry {document['seq']} of the ledger ({ASSUMED})"
    whose = "the leader" if document["is_leader"] else "not the leader: its picture is not complete"
    return f"by {document['pod']} ({whose}), entry {document['seq']}"
