"""The routes: which question is answered by which document. Read-only; unknown paths are 404."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from prometheus_client import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from controller.web.asked import preflight_document
from controller.web.headers import PAGE_POLICY, SVG_POLICY, SafeHeaders
from controller.web.metrics import render
from controller.web.openapi import openapi_document
from controller.web.page import ASSETS, LivePage, asset, diagram_svg
from controller.web.routing import replicas_document, routing_document
from controller.web.snapshot import SnapshotSource
from controller.web.status import health_document, ledger_document, status_document
from controller.web.streams import Streams
from controller.web.whatif import WhatIf
from statemachine.diagram import dot, mermaid
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
        document = health_document(self._source())
        return JSONResponse(document, OK if document["healthy"] else UNAVAILABLE)

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

    async def routing(self, request: Request) -> Response:
        """Where each gateway sends clients, and why."""
        return JSONResponse(routing_document(self._source()))

    async def replicas(self, request: Request) -> Response:
        """What the main says of each replica, and what is owed to it."""
        return JSONResponse(replicas_document(self._source()))

    async def diagram(self, request: Request) -> Response:
        """The rule table as a picture: for Mermaid, for Graphviz, or drawn."""
        match request.path_params["form"]:
            case "mmd":
                return PlainTextResponse(mermaid())
            case "dot":
                return PlainTextResponse(dot())
            case "svg":
                snapshot = self._source()
                drawn = diagram_svg(snapshot.cluster.phase.value, snapshot.ledger_lines)
                headers = {"Content-Security-Policy": SVG_POLICY}
                return Response(drawn, media_type="image/svg+xml", headers=headers)
            case _:
                raise HTTPException(NOT_FOUND)

    async def openapi(self, request: Request) -> Response:
        """What all of this is, for programs."""
        return JSONResponse(openapi_document())


class PageEndpoints:
    """The live page and the files that belong to it."""

    def __init__(self, page: LivePage) -> None:
        self._page = page

    async def page(self, request: Request) -> Response:
        """The document, whole without any script."""
        headers = {"Content-Security-Policy": PAGE_POLICY, "Cache-Control": "no-store"}
        return HTMLResponse(self._page.page(), headers=headers)

    async def asset(self, request: Request) -> Response:
        """Style, script, icon."""
        name = request.path_params["name"]
        if name not in ASSETS:
            raise HTTPException(NOT_FOUND)
        headers = {"Content-Type": ASSETS[name], "Cache-Control": "no-cache"}
        return Response(asset(name), headers=headers)


def application(source: SnapshotSource) -> Starlette:
    """The ASGI application."""
    endpoints, live = Endpoints(source), LivePage(source)
    page, streams = PageEndpoints(live), Streams(source, live)
    paths: dict[str, Endpoint] = {
        "/": page.page,
        "/page/{name}": page.asset,
        "/livez": endpoints.livez,
        "/readyz": endpoints.readyz,
        "/health": endpoints.health,
        "/metrics": endpoints.metrics,
        "/status": endpoints.status,
        "/api/v1/status": endpoints.status,
        "/api/v1/ledger": endpoints.ledger,
        "/api/v1/ledger/stream": streams.ledger,
        "/api/v1/page/stream": streams.page,
        "/api/v1/routing": endpoints.routing,
        "/api/v1/replicas": endpoints.replicas,
        "/api/v1/diagram.{form}": endpoints.diagram,
        "/api/v1/openapi.json": endpoints.openapi,
        "/api/v1/preflight": endpoints.preflight,
        "/api/v1/prestop/{pod}": endpoints.prestop,
        "/api/v1/whatif": WhatIf(source).answer,
    }
    routes = [Route(path, endpoint) for path, endpoint in paths.items()]
    app = Starlette(routes=routes, middleware=[Middleware(SafeHeaders)])
    app.router.redirect_slashes = False  # `/status/` is unknown, not somewhere else
    return app
