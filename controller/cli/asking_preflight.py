"""`--dry-run`: what stands for and against a request, by a controller's own picture.

Promise: nothing is written. What a newcomer gets wrong: only a controller has probed anything, so
without one that can be asked there is no answer; and only the leader's picture is complete, so it
is said which pod has answered.
"""

import json
import urllib.error
import urllib.request
from urllib.parse import urlencode

from controller.cli import tables
from controller.cli.evidence import is_controller, verified_of
from controller.cli.exits import FAILED, NOT_FOUND, OK, Problem
from controller.cli.reading import ANSWER_TIMEOUT_S, Json, Release, Target, find_release
from controller.kube import pod_facts_of

PATH = "/api/v1/preflight"
COLUMNS = ("CANDIDATE", "GUARD", "OK", "SAW")


def show_preflight(
    target: Target, url: str, http_port: int, kind: str, instance: str, form: str
) -> int:
    """Print it; returns the exit code: FAILED when the request would be refused now."""
    path = f"{PATH}?{urlencode({'kind': kind, 'to': instance})}"
    document = _at(url, path) if url else _of(find_release(target), http_port, path)
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


def _of(release: Release, http_port: int, path: str) -> Json:
    """Asked of the leader first, through the API server."""
    leader = verified_of(release).ledger.cluster.leader
    pods = [pod_facts_of(p) for p in release.pods() if is_controller(p)]
    names = sorted((p.name for p in pods if p.ip), key=lambda n: not leader.startswith(n))
    said = "there is none"
    for name in names:
        try:
            return _checked(release.ask_pod(name, http_port, path))
        except Problem as problem:
            said = problem.message
    raise Problem(f"no controller can be asked ({said}); ask one with --url", NOT_FOUND)


def _at(url: str, path: str) -> Json:
    address = url.rstrip("/") + path
    if not address.startswith(("http://", "https://")):
        raise Problem(f"--url wants http://host:port, not {url}", NOT_FOUND)
    try:
        with urllib.request.urlopen(address, timeout=ANSWER_TIMEOUT_S) as response:
            return _checked(json.load(response))
    except (urllib.error.URLError, OSError, ValueError) as error:
        raise Problem(f"{address} does not answer: {error}", NOT_FOUND) from error


def _checked(found: object) -> Json:
    if not isinstance(found, dict) or "options" not in found:
        raise Problem("that is no answer of a memgraph-controller", NOT_FOUND)
    return found
