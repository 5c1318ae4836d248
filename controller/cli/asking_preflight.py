"""`--dry-run`: what stands for and against a request, by a controller's own picture.

Promise: nothing is written. What a newcomer gets wrong: only a controller has probed anything, so
without one that can be asked there is no answer; and only the leader's picture is complete, so it
is said which pod has answered.
"""

from urllib.parse import urlencode

from controller.cli import tables
from controller.cli.exits import FAILED, OK
from controller.cli.leader import ask_leader
from controller.cli.reading import Json, Target

PATH = "/api/v1/preflight"
COLUMNS = ("CANDIDATE", "GUARD", "OK", "SAW")


def show_preflight(
    target: Target, url: str, http_port: int, kind: str, instance: str, form: str
) -> int:
    """Print it; returns the exit code: FAILED when the request would be refused now."""
    path = f"{PATH}?{urlencode({'kind': kind, 'to': instance})}"
    document = ask_leader(target, url, http_port, path)
    if form != "table":
        tables.show(document, form)
    else:
        _print(document)
    return OK if document["granted"] else FAILED


def _print(document: Json) -> None:
    out = tables.console()
    rows = [
        (option["candidate"] or "-", check["guard"], _word(check), check["saw"])
        for option in document["options"]
        for check in option["checks"]
    ]
    if rows:
        out.print(tables.columns(COLUMNS, rows))
        out.print()
    whose = "the leader" if document["is_leader"] else "not the leader: its picture is not complete"
    out.print(f"by {document['pod']} ({whose}), entry {document['seq']}", markup=False)
    for option in document["options"]:
        if option["against"]:
            about = f"{option['candidate']}: " if option["candidate"] else ""
            tables.loudly(f"{about}{option['against']}")
    if document["granted"]:
        to = next(o["candidate"] for o in document["options"] if o["granted"])
        out.print(f"would be granted now: {document['main']} -> {to}", markup=False)
    else:
        tables.loudly("would be refused now")


def _word(check: Json) -> str:
    return "yes" if check["ok"] else "not yet" if check["is_pending"] else "NO"
