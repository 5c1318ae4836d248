"""`report`: one incident as a document that can be sent around."""

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from controller.cli.entry import targeted
from controller.cli.exits import HELP, NOT_FOUND, Problem
from controller.cli.history_commands import from_files, reader_of
from controller.cli.incident import Incident, incident_of, markdown
from controller.cli.reading import Json, Target
from controller.cli.term_timeline import document_of

if TYPE_CHECKING:
    from statemachine.chain import Chain

SECRET = re.compile(r"PASSWORD|TOKEN|SECRET|_KEY$", re.IGNORECASE)
AROUND = timedelta(seconds=30)  # log lines so long before and after are of interest
LOG_LINES_MAX = 1000
UNPLANNED = ("main_lost", "failover_forced")
PLANNED = ("switchover_started", "renewal_started")


@click.command(epilog=HELP)
@click.option("--term", type=click.IntRange(min=0), help="Default: of the last failover.")
@click.option("--logs", multiple=True, type=click.File(), help="Logs of controllers, JSON lines.")
@click.option("--out", type=click.Path(path_type=Path), help="Write there.  [default: print]")
@click.option(
    "--as-test",
    type=click.Path(path_type=Path, file_okay=False),
    help="Also write the ledger and what it tells there, as tests/incidents of the project has it.",
)
@from_files
@targeted
def report(
    term: int | None,
    logs: tuple[Any, ...],
    out: Path | None,
    as_test: Path | None,
    files: tuple[Path, ...],
    **target: str,
) -> None:
    """Write down one change of main: summary, steps, diagram, evidence, ledger, logs, settings.

    \b
    Markdown with a Mermaid diagram. Everything comes from the verified ledger and its archives;
    passwords and the like are left out. Logs are cut to the time of the incident.

    \b
    Examples:
      memgraph-controller report > incident.md
      memgraph-controller report --term 7 --logs controller-0.log --out term-7.md
      memgraph-controller report --file ledger.yaml
    """
    from controller.cli.history import complain
    from controller.cli.reading import find_release

    asked = Target(**target)
    chain = reader_of(files, asked)(0)
    entries = [json.loads(line) for _, line in chain.entries()]
    incident = incident_of(entries, term if term is not None else last_change(entries))
    extras = {} if files else {"Settings": settings_of(find_release(asked).pods())}
    if logs:
        extras["Logs"] = logs_of(incident, (line for file in logs for line in file))
    text = markdown(incident, extras)
    if as_test is not None:
        write_test(as_test, chain, incident)
    if out is None:
        click.echo(text, nl=False)
    else:
        out.write_text(text)
        click.echo(f"wrote {out}: {len(incident.entries)} entries", err=True)
    raise SystemExit(complain(chain))


def write_test(directory: Path, chain: "Chain", incident: Incident) -> None:
    """Two files: the lines up to the end of the incident, and what `history --term` tells of them.
    Whatever the program becomes, it must read the one and tell the other.

    Raises:
        Problem: the history does not begin with its first entry, so that it cannot be replayed.
    """
    if chain.first != 1:
        text = f"the history begins with entry {chain.first}: it cannot be replayed from the start"
        raise Problem(text, NOT_FOUND)
    last = incident.entries[-1]["seq"]
    directory.mkdir(parents=True, exist_ok=True)
    ledger = directory / f"{incident.begin['on']}-{last}.jsonl"
    ledger.write_text("".join(line for seq, line in chain.entries() if seq <= last))
    told = document_of(incident.term, incident.entries, incident.steps)
    ledger.with_suffix(".json").write_text(json.dumps(told, indent=2) + "\n")
    click.echo(f"wrote {ledger} and what it tells", err=True)


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
    end = datetime.fromisoformat(incident.entries[-1]["at"]) + AROUND
    terms = {e["term"] for e in incident.entries}
    kept = [line for line in lines if _is_of(line, terms, begin, end)]
    dropped = len(kept) - LOG_LINES_MAX
    note = f"({dropped} more lines left out)\n\n" if dropped > 0 else ""
    text = "".join(f"{line.rstrip()}\n" for line in kept[:LOG_LINES_MAX])
    return f"{note}```json\n{text}```\n" if kept else "No line of the given logs is of this time.\n"


def _is_of(line: str, terms: Collection[int], begin: datetime, end: datetime) -> bool:
    try:
        said = json.loads(line)
        at = datetime.fromisoformat(str(said["at"]))
    except (ValueError, KeyError, TypeError):
        return False
    aware = at if at.tzinfo else at.replace(tzinfo=begin.tzinfo)
    return said.get("term") in terms or begin <= aware <= end
