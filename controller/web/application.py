"""The routes: which question is answered by which document. Read-only; unknown paths are 404."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from controller.web.asked import preflight_document
from controller.web.metrics import render
from controller.web.snapshot import SnapshotSource
from controller.web.status import ledger_document, problems, status_document
from controller.web.whatif import WhatIf
from statemachine.diagram import mermaid
from statemachine.ids import Instance
from statemachine.requests import KINDS

UNAVAILABLE, NOT_FOUND, BAD_REQUEST, OK = 503, 404, 400, 200
Endpoint = Callable[[Request], Awaitable[Response]]


class Endpoints:
    """Each method answers one path from one fresh snapshot."""

    def __init__(self, source: SnapshotSource) -> None:
        self._source = source

    async def livez(self, request: Request) -> Response:
        """Whether the process is worth keeping: its loop turned lately."""
        alive = self._source().is_alive
        return PlainTextResponse(
            "ok\n" if alive else "the loop does not turn\n", OK if alive else UNAVAILABLE
        )

    async def readyz(self, request: Request) -> Response:
        """Whether clients may come: ledger verified, gateways listening. A standby is ready."""
        reasons = self._source().why_not_ready
        text = "".join(f"{reason}\n" for reason in reasons) or "ok\n"
        return PlainTextResponse(text, UNAVAILABLE if reasons else OK)

    async def health(self, request: Request) -> Response:
        """Whether the *cluster* is well: 200 and no problems, or 503 and what they are."""
        snapshot = self._source()
        found = problems(snapshot)
        document = {
            "healthy": not found,
            "phase": snapshot.cluster.phase.value,
            "main": snapshot.cluster.main,
            "problems": found,
        }
        return JSONResponse(document, UNAVAILABLE if found else OK)

    async def metrics(self, request: Request) -> Response:
        """Prometheus' text format."""
        return Response(render(self._source), media_type=CONTENT_TYPE_LATEST)

    async def status(self, request: Request) -> Response:
        """Everything."""
        return JSONResponse(status_document(self._source(), datetime.now(UTC)))

    async def ledger(self, request: Request) -> Response:
        """The verified entries as stored, one JSON object a line."""
        since = request.query_params.get("since", "0")
        if not since.isascii() or not since.isdecimal():
            return JSONResponse({"error": "since wants a position in the ledger"}, BAD_REQUEST)
        lines = ledger_document(self._source(), int(since[:18]))
        return Response(lines, media_type="application/x-ndjson")

    async def prestop(self, request: Request) -> Response:
        """What the preStop hook of an instance's pod waits for: 200 when it may stop, 503 and why
        not, 404 for a pod that is none of ours."""
        snapshot, instance = self._source(), Instance(request.path_params["pod"])
        known = {i.instance for i in snapshot.view.instances}
        if snapshot.view.pods_known and instance not in known:
            error = f"{instance} is no instance here; there are {', '.join(sorted(known))}"
            return JSONResponse({"error": error}, NOT_FOUND)
        stop = snapshot.may_stop(instance)
        document = {"pod": instance, "safe": stop.is_safe, "reason": stop.reason}
        return JSONResponse(document, OK if stop.is_safe else UNAVAILABLE)

    async def preflight(self, request: Request) -> Response:
        """What stands for and against a request, by what this pod sees; nothing is asked for."""
        kind = request.query_params.get("kind", "")
        document = preflight_document(self._source(), kind, request.query_params.get("to", ""))
        if document is None:
            error = f"kind wants one of {', '.join(KINDS)}, to the name of an instance"
            return JSONResponse({"error": error}, BAD_REQUEST)
        return JSONResponse(document)

    async def diagram(self, request: Request) -> Response:
        """The rule table as a picture."""
        return PlainTextResponse(mermaid())


def application(source: SnapshotSource) -> Starlette:
    """The ASGI application."""
    endpoints = Endpoints(source)
    paths: dict[str, Endpoint] = {
        "/livez": endpoints.livez,
        "/readyz": endpoints.readyz,
        "/health": endpoints.health,
        "/metrics": endpoints.metrics,
        "/status": endpoints.status,
        "/api/v1/status": endpoints.status,
        "/api/v1/ledger": endpoints.ledger,
        "/api/v1/diagram.mmd": endpoints.diagram,
        "/api/v1/preflight": endpoints.preflight,
        "/api/v1/prestop/{pod}": endpoints.prestop,
        "/api/v1/whatif": WhatIf(source).answer,
    }
    app = Starlette(routes=[Route(path, endpoint) for path, endpoint in paths.items()])
    app.router.redirect_slashes = False  # `/status/` is unknown, not somewhere else
    return app
