"""What people asked for, as status, metrics and the pre-flight show it."""

import json
from typing import Any

import pytest
import web_picture as p
from attrs import evolve
from test_web_metrics import samples, value
from test_web_server import get, serving

from controller.web import Snapshot
from controller.web.asked import asked_document, preflight_document
from controller.web.status import problems
from statemachine import events as e
from statemachine.cluster import Pause
from statemachine.decide import Refusal
from statemachine.events import Event
from statemachine.ids import Phase, RowStatus
from statemachine.observations import Request
from statemachine.requests import KINDS
from statemachine.view import RequestView

WALL_S = 1_769_860_800.0  # 2026-01-31T12:00:00Z
D = Phase.DEGRADED


def asking(**fields: Any) -> Snapshot:
    """One open request, four seconds old."""
    values = {"kind": "switchover", "author": "alice", "expires_s": WALL_S + 60, **fields}
    request = RequestView(Request("r-1", **values), p.NOW_S - 4)
    return p.snapshot(view=p.view(requests=(request,), wall_s=WALL_S))


def answered() -> Snapshot:
    """A ledger with a grant and two refusals, one of a kind that nobody knows."""
    ledger = p.history()
    steps = (
        e.Paused("alice", "a backup", int(WALL_S), "r-1"),
        e.RequestRefused("r-2", "switchover", "bob", "paused"),
        e.RequestRefused("r-3", "dance all night", "eve", "unknown kind"),
    )
    for number, payload in enumerate(steps):
        event = Event(payload, D, D, f"because {number}")
        ledger = ledger.append(event, at="2026-01-31T11:00:00.000Z", by="x", entry_id=f"a{number}")
    return p.snapshot(cluster=ledger.cluster, ledger_lines=ledger.lines)


def test_an_open_request_is_shown_with_why_it_waits() -> None:
    """Who asks for what, until when, and what stands against it now."""
    (shown,) = asked_document(asking(instance="memgraph-0"))["open"]
    assert (shown["kind"], shown["author"], shown["instance"]) == (
        "switchover",
        "alice",
        "memgraph-0",
    )
    assert (shown["for_s"], shown["expires"]) == (4.0, "2026-01-31T12:01:00+00:00")
    assert shown["waits"] == "its turn"
    (later,) = asked_document(asking(not_before_s=WALL_S + 30))["open"]
    assert "its time has not come" in later["waits"]
    (elsewhere,) = asked_document(evolve(asking(), is_leader=False))["open"]
    assert "leader" in elsewhere["waits"]
    refusal = Refusal("switchover_started", "memgraph-0", "subject_is_complete", "lags", True)
    (pending,) = asked_document(evolve(asking(), refusals=(refusal,)))["open"]
    assert "subject is complete: lags" in pending["waits"]
    (endless,) = asked_document(asking(expires_s=float("inf")))["open"]
    assert endless["expires"] is None


def test_what_is_answered_is_not_open() -> None:
    """The entry may still stand there for a moment; the ledger counts."""
    snapshot = evolve(asking(), cluster=p.cluster(answered=("r-1",)))
    assert asked_document(snapshot)["open"] == []


def test_answers_are_those_of_the_ledger() -> None:
    """Granted or refused, with the reason, the newest last."""
    document = asked_document(answered())
    assert [(a["id"], a["kind"], a["verdict"]) for a in document["answered"]] == [
        ("r-1", "pause", "granted"),
        ("r-2", "switchover", "refused"),
        ("r-3", "other", "refused"),
    ]
    assert document["pause"] == {
        "author": "alice",
        "reason": "a backup",
        "until": "2026-01-31T12:00:00+00:00",
    }


def test_every_kind_has_a_name_among_the_answers() -> None:
    """A kind that is new in the state machine is not shown as something else."""
    from controller.web.asked import KIND_OF

    assert set(KIND_OF.values()) == set(KINDS)
    assert set(KIND_OF) <= set(e.BY_TRIGGER)


def test_pause_and_observing_are_no_secret() -> None:
    """Whoever looks at health learns that no main would be replaced, by whom and until when."""
    paused = p.snapshot(cluster=p.cluster(pause=Pause("alice", "a backup", int(WALL_S))))
    (problem,) = problems(paused)
    assert all(word in problem for word in ("alice", "2026-01-31T12:00:00", "a backup"))
    observed = p.snapshot(cluster=p.cluster(is_observed=True))
    by_settings = p.snapshot(view=p.view(policy=evolve(p.view().policy, observe_only=True)))
    for snapshot in (observed, by_settings):
        assert any("nothing is done" in problem for problem in problems(snapshot))
        assert asked_document(snapshot)["observing"]


def test_metrics_count_them() -> None:
    """For alerts."""
    found = samples(answered())
    assert value(found, "paused") == 1
    assert value(found, "observing") == 0
    assert value(found, "requests_open") == 0
    assert value(samples(asking()), "requests_open") == 1


def guards(document: Any) -> dict[str, bool]:
    """Guard -> its answer, of the first option."""
    return {check["guard"]: check["ok"] for check in document["options"][0]["checks"]}


def test_a_preflight_asks_every_guard() -> None:
    """Also behind the first no, where the decision itself would stop; and it says who answers."""
    rows = (p.row("memgraph_0_g4", p.Mode.STRICT_SYNC, RowStatus.INVALID),)
    seen = p.without(p.view(), p.M1, answer=p.answer(p.M1, p.Role.MAIN, *rows))
    well = preflight_document(p.snapshot(), "switchover", "memgraph-0")
    ill = preflight_document(p.snapshot(view=seen), "switchover", "memgraph-0")
    assert well is not None
    assert ill is not None
    assert (well["pod"], well["is_leader"], well["main"]) == ("controller-a", True, "memgraph-1")
    assert well["granted"], well
    assert not ill["granted"]
    assert guards(well).keys() == guards(ill).keys()
    assert all(guards(well).values())
    assert not guards(ill)["subject_is_complete"]
    assert "subject is complete" in ill["options"][0]["against"]


@pytest.mark.parametrize(
    ("to", "against"),
    [("memgraph-1", "is the main already"), ("redis-0", "there is no instance redis-0")],
)
def test_a_preflight_says_what_can_never_be(to: str, against: str) -> None:
    """What no guard is asked about is told as well."""
    document = preflight_document(p.snapshot(), "switchover", to)
    assert document is not None
    assert not document["granted"]
    assert against in document["options"][0]["against"]


async def test_the_path_answers_and_refuses_nonsense() -> None:
    """`/api/v1/preflight`: a document, or 400 with what may be asked; it changes nothing."""
    async with serving(p.snapshot) as address:
        good = await get(address, "/api/v1/preflight?kind=switchover&to=memgraph-0")
        bad = await get(address, "/api/v1/preflight?kind=dance")
        changed = await get(address, "/api/v1/preflight?kind=switchover", "POST")
    assert good.status == 200
    assert "options" in json.loads(good.body)
    assert bad.status == 400
    assert "switchover" in bad.body
    assert changed.status == 405
