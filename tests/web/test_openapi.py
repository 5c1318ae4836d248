"""The API does what its description says, and the description says everything that there is."""

import json
import re
from typing import Any

import pytest
import web_picture as p
from attrs import evolve
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from test_web_server import Answer, get, leaving, serving

from controller.web import Snapshot
from controller.web.application import application
from controller.web.openapi import openapi_document
from statemachine.cluster import Change, Cluster, Pause
from statemachine.ids import Incarnation, Phase, Role
from statemachine.observations import Failure, Request
from statemachine.view import RequestView, Unsettled

STREAMS = ("/api/v1/ledger/stream", "/api/v1/page/stream")  # have a test of their own


def full() -> Snapshot:
    """A picture with something in every optional place."""
    ledger = p.history()
    seen = p.failing(p.view(), p.M2, Failure.SILENT, "no answer", 3.0)
    seen = p.without(seen, p.M0, unsettled=Unsettled(p.NOW_S - 2, "uid"))
    asked = RequestView(Request("r", "switchover", "bob", instance="memgraph-0"), p.NOW_S - 3)
    moved = Change("the main is silent", p.M0, p.M1, fence="dead")
    cluster = p.cluster(
        phase=Phase.FAILOVER,
        rw_open=False,
        change=moved,
        refused=(p.REFUSED,),
        pause=Pause("alice", "a backup", 1_800_000_000),
        seq=ledger.seq,
    )
    return p.snapshot(
        cluster=cluster,
        view=evolve(seen, requests=(asked,)),
        ledger_lines=ledger.lines,
        ledger_head=ledger.head,
        refusals=(p.REFUSAL,),
        head_read_at_s=p.NOW_S - 0.5,
        kube_trouble={"pods": "403"},
    )


def bare() -> Snapshot:
    """A pod that knows nothing yet."""
    return p.snapshot(
        cluster=Cluster(),
        view=p.View(p.view().policy),
        turned_at_s=float("-inf"),
        gateways={"rw": p.FakeCounters(term=None)},
        is_leader=False,
    )


def healthy() -> Snapshot:
    """OPERATIONAL, with a ledger."""
    ledger = p.history()
    return p.snapshot(ledger_lines=ledger.lines, ledger_head=ledger.head)


PICTURES = {"full": full, "bare": bare, "healthy": healthy}


def described(path: str, status: int) -> Any:
    """What the document says of this answer: media type -> schema."""
    responses = openapi_document()["paths"][path]["get"]["responses"]
    assert str(status) in responses, f"{path}: an answer {status} is not described"
    return {media: each["schema"] for media, each in responses[str(status)]["content"].items()}


def check(path: str, answer: Answer) -> None:
    """The answer's media type and content are what the document says."""
    schemas = described(path, answer.status)
    found = re.search(r"content-type: ([a-z0-9/+.-]+)", answer.headers)
    assert found, answer.headers
    assert found[1] in schemas, f"{path}: {found[1]} is not described"
    if found[1] == "application/json":
        validate(schemas[found[1]], json.loads(answer.body))
    elif found[1] == "application/x-ndjson":
        for line in answer.body.splitlines():
            validate(schemas[found[1]], json.loads(line))


def validate(schema: dict[str, Any], document: object) -> None:
    """Raises with the place and the reason."""
    whole = {**schema, "components": openapi_document()["components"]}
    Draft202012Validator(whole).validate(document)


def test_the_document_is_openapi_3_1() -> None:
    """By the specification's own schema."""
    OpenAPIV31SpecValidator(openapi_document()).validate()


def test_every_route_is_described_and_every_description_is_a_route() -> None:
    """Nothing is served that a reader of the document does not know of."""
    routes = {str(route.path) for route in application(p.snapshot).routes}  # type: ignore[attr-defined]
    assert set(openapi_document()["paths"]) == routes


def test_objects_are_closed_and_whole() -> None:
    """Every object of the document names all its fields as required and allows no other: a field
    that is added or dropped turns the test of the answers red."""
    for name, schema in openapi_document()["components"]["schemas"].items():
        assert schema["additionalProperties"] is False, name
        assert set(schema["required"]) == set(schema["properties"]), name
        assert schema["description"], name


ASKED = {
    "/page/{name}": ("/page/page.css", "/page/page.js", "/page/icon.svg", "/page/other.js"),
    "/api/v1/diagram.{form}": (
        "/api/v1/diagram.mmd",
        "/api/v1/diagram.dot",
        "/api/v1/diagram.svg",
        "/api/v1/diagram.png",
    ),
    "/api/v1/prestop/{pod}": (f"/api/v1/prestop/{p.M1}", f"/api/v1/prestop/{p.M2}"),
    "/api/v1/ledger": ("/api/v1/ledger", "/api/v1/ledger?since=2", "/api/v1/ledger?since=x"),
    "/api/v1/preflight": (
        "/api/v1/preflight?kind=switchover",
        "/api/v1/preflight?kind=failover&to=memgraph-0",
        "/api/v1/preflight?kind=nonsense",
    ),
    "/api/v1/whatif": (
        "/api/v1/whatif",
        "/api/v1/whatif?kill=memgraph-1",
        "/api/v1/whatif?kill=nobody",
    ),
}


@pytest.mark.parametrize("picture", PICTURES)
async def test_every_answer_is_as_described(picture: str) -> None:
    """Every path, asked in every way that is described, of a healthy, a troubled and a bare pod:
    status, media type and each field."""
    async with serving(PICTURES[picture]) as address:
        for path in openapi_document()["paths"]:
            if path in STREAMS:
                continue
            for asked in ASKED.get(path, (path,)):
                check(path, await get(address, asked))


async def test_prestop_is_described_in_both_ways() -> None:
    """A pod that may stop, and one that may not."""
    for pod, status in ((p.M2, 200), (p.M1, 503)):
        async with serving(lambda pod=pod: leaving(pod)) as address:  # type: ignore[misc]
            answer = await get(address, f"/api/v1/prestop/{pod}")
        assert answer.status == status
        check("/api/v1/prestop/{pod}", answer)


async def test_a_stray_main_is_described() -> None:
    """An unappointed main's own rows, too."""
    row = p.row("x", p.Mode.ASYNC)
    stray = evolve(p.answer(p.M0, Role.MAIN, row), incarnation=Incarnation(9))
    async with serving(lambda: p.snapshot(view=p.without(p.view(), p.M0, answer=stray))) as address:
        check("/api/v1/status", await get(address, "/api/v1/status"))
