"""`report`: one incident as a document that can be sent around."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click

from controller.cli import tables
from controller.cli.entry import targeted
from controller.cli.exits import FAILED, HELP, NOT_FOUND, OK, Problem
from controller.cli.incident import Incident, NoSuchTerm, incident_of, markdown
from controller.cli.reading import Json, Target

SECRET = re.compile(r"PASSWORD|TOKEN|SECRET|_KEY$", re.IGNORECASE)
AROUND = timedelta(seconds=30)  # log lines so long before and after are of interest
LOG_LINES_MAX = 1000
UNPLANNED = ("main_lost", "failover_forced")
PLANNED = ("switchover_started", "renewal_started")


@click.command(epilog=HELP)
@click.option("--term", type=click.IntRange(min=1), help="Default: of the last failover.")
@click.option("--logs", multiple=True, type=click.File(), help="Logs of controllers, JSON lines.")
@click.option("--out", type=click.Path(path_type=Path), help="Write there.  [default: print]")
@targeted
def report(term: int | None, logs: tuple[Any, ...], out: Path | None, **target: str) -> None:
    """Write down one change of main: summary, timeline, diagram, evidence, ledger, logs, settings.

    \b
    Markdown with a Mermaid diagram. Everything comes from the verified ledger; passwords and the
    like are left out. Logs are cut to the time of the incident.

    \b
    Examples:
      memgraph-controller report > incident.md
      memgraph-controller report --term 7 --logs controller-0.log --out term-7.md
    """
    from controller.cli.evidence import entries_of, verified_of
    from controller.cli.reading import find_release

    release = find_release(Target(**target))
    verified = verified_of(release)
    entries = entries_of(verified.ledger, 0)
    try:
        incident = incident_of(entries, term if term is not None else last_change(entries))
    except NoSuchTerm as error:
        raise Problem(str(error), NOT_FOUND) from error
    extras = {"Settings": settings_of(release.pods())}
    if logs:
        extras["Logs"] = logs_of(incident, (line for file in logs for line in file))
    text = markdown(incident, extras)
    if out is None:
        click.echo(text, nl=False)
    else:
        out.write_text(text)
        click.echo(f"wrote {out}: term {incident.term}, {len(incident.entries)} entries", err=True)
    if verified.trouble:
        tables.loudly(f"the ledger is broken after entry {verified.ledger.seq}: {verified.trouble}")
    raise SystemExit(FAILED if verified.trouble else OK)


def last_change(entries: Sequence[Mapping[str, Any]]) -> int:
    """The term of the last failover; if there was none, of the last planned change; of the last
    entry if there was none of these either; 0: no entry."""
    for kinds in (UNPLANNED, PLANNED):
        found = [e["term"] for e in entries if e["on"] in kinds]
        if found:
            return int(found[-1])
    return int(entries[-1]["term"]) if entries else 0


def settings_of(pods: Sequence[Json]) -> str:
    """What the controllers were given, as a table; nothing secret."""
    from controller.cli.evidence import is_controller

    given = sorted({row for pod in pods if is_controller(pod) for row in _variables(pod)})
    if not given:
        return "No controller pod is there to be asked.\n"
    head = "Given to the controllers; what is not here has its default.\n\n"
    rows = "".join(f"| {name} | {value} |\n" for name, value in given)
    return f"{head}| variable | value |\n|---|---|\n{rows}"


def _variables(pod: Json) -> Iterator[tuple[str, str]]:
    for container in pod.get("spec", {}).get("containers") or []:
        for variable in container.get("env") or []:
            name = str(variable.get("name", ""))
            if "valueFrom" in variable:
                (source, *_) = list(variable["valueFrom"]) or ["?"]
                yield name, f"({source})"
            else:
                value = str(variable.get("value", ""))
                yield name, "(left out)" if SECRET.search(name) else value.replace("|", "\\|")


def logs_of(incident: Incident, lines: Iterable[str]) -> str:
    """The lines of the incident's time or term; others, and what is no JSON, are left out."""
    begin = datetime.fromisoformat(incident.begin["at"]) - AROUND
    last = (incident.redundant or incident.entries[-1])["at"]
    end = datetime.fromisoformat(last) + AROUND
    kept = [line for line in lines if _is_of(line, incident.term, begin, end)]
    dropped = len(kept) - LOG_LINES_MAX
    note = f"({dropped} more lines left out)\n\n" if dropped > 0 else ""
    text = "".join(f"{line.rstrip()}\n" for line in kept[:LOG_LINES_MAX])
    return f"{note}```json\n{text}```\n" if kept else "No line of the given logs is of this time.\n"


def _is_of(line: str, term: int, begin: datetime, end: datetime) -> bool:
    try:
        said = json.loads(line)
        at = datetime.fromisoformat(str(said["at"]))
    except (ValueError, KeyError, TypeError):
        return False
    aware = at if at.tzinfo else at.replace(tzinfo=begin.tzinfo)
    return said.get("term") == term or begin <= aware <= end
