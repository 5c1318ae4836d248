"""Asking by the command line: what is written, and how the ledger's answer is told."""

import json
from typing import Any

import pytest
import trio
import web_picture as p
from cli_world import World, invoke

from controller.cli.answers import Verdict, answer_in
from controller.cli.asking import may_be_main
from controller.requests import request_of
from controller.sandbox.apiserver import CONFIGMAPS, ApiError, Rule
from statemachine import events as e
from statemachine.events import Event, Payload
from statemachine.ids import Phase
from statemachine.ledger import Ledger
from statemachine.observations import Request

WELL, F, D = Phase.OPERATIONAL, Phase.FAILOVER, Phase.DEGRADED


def stored(world: World) -> dict[str, str]:
    """The entries of the ConfigMap of requests."""
    try:
        found = world.store.get(CONFIGMAPS, "prod", "graph-requests")
    except ApiError:
        return {}
    return dict(found.get("data") or {})


async def the_request(world: World) -> Request:
    """Wait for the one that the command writes."""
    while not (found := stored(world)):
        await trio.sleep(0.01)
    ((key, line),) = found.items()
    return request_of(key, line)


def whole() -> Ledger:
    """OPERATIONAL: memgraph-1 is main, memgraph-0 holds everything."""
    name = "memgraph_0_g1"
    opened = e.RegistrationOpened(name, p.M0, p.Mode.STRICT_SYNC, "10.0.0.10:10000", "")
    return grown(p.history(), (opened, D, D), (e.SyncJoined(p.M0, name), D, WELL))


def grown(ledger: Ledger, *steps: tuple[Payload, Phase, Phase]) -> Ledger:
    """The ledger with these events appended."""
    for payload, source, dest in steps:
        event = Event(payload, source, dest, f"because of {type(payload).__name__}")
        at = "2025-11-21T07:01:00.000+00:00"
        ledger = ledger.append(event, at=at, by="controller-a", entry_id=f"id{ledger.seq}")
    return ledger


class Asked:
    """A command that runs while the test plays the controller."""

    def __init__(self) -> None:
        self.result: Any = None

    async def run(self, world: World, *words: str, **options: Any) -> None:
        """Until it ends."""
        self.result = await world.cli(*words, **options)


async def test_a_switchover_is_followed_to_its_end(world: World, nursery: trio.Nursery) -> None:
    """The command writes kind, target, author, reason and when it expires; tells each step; ends
    with 0 when the new main serves, and not before."""
    ledger = whole()
    world.write_ledger(ledger.data)
    asked = Asked()
    words = ("switchover", "--to", "memgraph-0", "--reason", "drain node-a")
    async with trio.open_nursery() as inner:
        inner.start_soon(asked.run, world, *words)
        request = await the_request(world)
        assert (request.kind, request.instance, request.trouble) == ("switchover", "memgraph-0", "")
        assert (request.author, request.reason) == ("me", "drain node-a")  # the kubeconfig's user
        started = e.SwitchoverStarted(p.M0, "drain node-a", request.id)
        ledger = grown(ledger, (started, WELL, F))
        world.write_ledger(ledger.data)
        await trio.sleep(0.5)
        assert asked.result is None
        steps = ((e.Drained(), F, F), (e.MainFenced("demoted"), F, F))
        ledger = grown(ledger, *steps, (e.MainPromoted(p.M0, frozenset(), "none"), F, D))
        world.write_ledger(ledger.data)
    assert asked.result.exit_code == 0
    assert "done in" in asked.result.stdout
    assert "memgraph-0 is the main" in asked.result.stdout
    assert "loss: none" in asked.result.stdout
    for step in ("switchover_started", "drained", "main_fenced", "main_promoted"):
        assert asked.result.stderr.count(step) == 1


async def test_a_reinit_is_followed_until_the_instance_is_whole(world: World) -> None:
    """The order alone is no end, nor is the empty instance: the command ends with 0 when it serves
    readers again, and tells each step."""
    ledger = whole()
    world.write_ledger(ledger.data)
    asked = Asked()
    async with trio.open_nursery() as inner:
        inner.start_soon(asked.run, world, "reinit", "memgraph-2")
        request = await the_request(world)
        opened = e.RegistrationOpened("memgraph_2_g2", p.M2, p.Mode.ASYNC, "10.0.0.12:10000", "")
        ledger = grown(ledger, (e.ResetOrdered(p.M2, request.id), WELL, WELL))
        world.write_ledger(ledger.data)
        await trio.sleep(0.5)
        assert asked.result is None
        ledger = grown(ledger, (e.ResetDone(p.M2), WELL, WELL), (opened, WELL, WELL))
        world.write_ledger(ledger.data)
        await trio.sleep(0.5)
        assert asked.result is None
        readers = frozenset({p.M0, p.M2})
        world.write_ledger(grown(ledger, (e.ReadersChanged(readers), WELL, WELL)).data)
    assert asked.result.exit_code == 0
    assert "memgraph-2 was rebuilt and serves readers" in asked.result.stdout
    for step in ("reset_ordered", "reset_done", "registration_opened", "readers_changed"):
        assert asked.result.stderr.count(step) == 1


async def test_a_reinit_that_takes_longer_says_how_far_it_is(world: World) -> None:
    """5, and the last step of this instance, not of another."""
    ledger = whole()
    world.write_ledger(ledger.data)
    asked = Asked()
    async with trio.open_nursery() as inner:
        inner.start_soon(asked.run, world, "reinit", "memgraph-2", "--timeout", "1500ms")
        request = await the_request(world)
        ordered = (e.ResetOrdered(p.M2, request.id), WELL, WELL)
        more = (e.ReadersChanged(frozenset({p.M0})), WELL, WELL)
        world.write_ledger(grown(ledger, ordered, more).data)
    assert asked.result.exit_code == 5
    assert "not finished" in asked.result.stderr
    assert "reset_ordered" in asked.result.stderr.splitlines()[-1]


async def test_a_refusal_is_told_with_its_reason(world: World) -> None:
    """Exit code 1; in JSON for programs."""
    asked = Asked()
    async with trio.open_nursery() as inner:
        inner.start_soon(asked.run, world, "switchover", "-o", "json", "--author", "bob")
        request = await the_request(world)
        assert request.author == "bob"
        refused = e.RequestRefused(request.id, "switchover", "bob", "no second copy")
        world.write_ledger(grown(p.history(), (refused, D, D)).data)
    assert asked.result.exit_code == 1
    said = json.loads(asked.result.stdout)
    assert (said["verdict"], said["why"], said["seq"]) == ("refused", "no second copy", 7)
    assert said["id"] == request.id


async def test_no_answer_in_time_has_a_code_of_its_own(world: World) -> None:
    """5; and the request expires with the command's patience, so that nobody grants it later."""
    result = await world.cli("resume", "--timeout", "600ms")
    assert result.exit_code == 5
    assert "not answered" in result.stderr
    ((key, line),) = stored(world).items()
    world.store.delete(CONFIGMAPS, "prod", "graph-requests")
    began = await world.cli("resume", "--timeout", "600ms", "--no-wait")
    ((later, later_line),) = stored(world).items()
    gap_s = request_of(later, later_line).expires_s - request_of(key, line).expires_s
    assert 0.6 <= gap_s < 20
    assert (began.exit_code, key in began.stdout, later in began.stdout) == (0, False, True)


EACH = [
    (("pause", "--for", "30m"), "pause", {"for_s": 1800.0}),
    (("resume",), "resume", {}),
    (("durability", "required"), "durability", {"value": "required"}),
    (("observe", "on"), "observe", {"value": "on"}),
    (("reinit", "memgraph-2"), "reinit", {"instance": "memgraph-2"}),
    (("acknowledge",), "acknowledge", {}),
    (
        ("failover", "--to", "memgraph-1", "--accept-data-loss", "--confirm", "graph"),
        "failover",
        {"instance": "memgraph-1", "confirm": "graph"},
    ),
    (
        ("switchover", "--at", "2126-01-31T12:00:00+01:00"),
        "switchover",
        {"not_before_s": 4925530800.0, "expires_s": 4925530860.0},
    ),
]


@pytest.mark.parametrize(("words", "kind", "fields"), EACH, ids=lambda x: str(x)[:24])
async def test_each_command_asks_for_what_it_says(
    words: tuple[str, ...], kind: str, fields: dict[str, Any], world: World
) -> None:
    """And the controller understands the entry."""
    result = await world.cli(*words, "--no-wait")
    assert result.exit_code == 0, result.output
    request = await the_request(world)
    assert (request.kind, request.trouble) == (kind, "")
    for name, value in fields.items():
        assert getattr(request, name) == value


WRONG = [
    (("failover", "--to", "memgraph-1"), 2, "--accept-data-loss"),
    (("failover", "--to", "memgraph-1", "--accept-data-loss"), 2, "--confirm"),
    (("pause",), 2, "--for"),
    (("pause", "--for", "soon"), 2, "wants a duration"),
    (("switchover", "--at", "soon"), 2, "is no time"),
    (("switchover", "--to", "memgraph 1"), 2, "instance is no name"),
    (("durability", "best"), 2, "preferred"),
]


@pytest.mark.parametrize(("words", "code", "says"), WRONG, ids=lambda x: str(x)[:24])
async def test_what_cannot_be_asked_is_not_written(
    words: tuple[str, ...], code: int, says: str, world: World
) -> None:
    """Wrong usage is told before anything is written."""
    result = await world.cli(*words)
    assert (result.exit_code, says in result.stderr) == (code, True), result.output
    assert stored(world) == {}


async def test_kubernetes_decides_who_may(world: World) -> None:
    """403 is told as such, with exit code 3, and is not tried again."""
    world.faults.add(Rule("fail", verb="patch", status=403))
    result = await world.cli("resume")
    assert result.exit_code == 3
    assert "no access" in result.stderr


async def test_a_lost_answer_of_the_api_server_is_no_failure(world: World) -> None:
    """The same entry is written again: one request, under one id."""
    world.store.create(CONFIGMAPS, "prod", {"metadata": {"name": "graph-requests"}})
    world.faults.add(Rule("lose_reply", verb="patch", count=1))
    world.faults.add(Rule("fail", verb="patch", status=503, count=1))
    result = await world.cli("resume", "--no-wait")
    assert result.exit_code == 0, result.output
    assert len(stored(world)) == 1


async def test_an_api_server_that_goes_away_is_waited_for(world: World) -> None:
    """While the answer is waited for, a read that fails is tried again."""
    asked = Asked()
    async with trio.open_nursery() as inner:
        inner.start_soon(asked.run, world, "observe", "on")
        request = await the_request(world)
        world.faults.add(Rule("fail", verb="get", status=503, count=3))
        changed = e.ObservingChanged(True, request.id)
        world.write_ledger(grown(p.history(), (changed, D, D)).data)
    assert asked.result.exit_code == 0, asked.result.output


def entry(on: str, source: str, to: str, main: str | None, **data: Any) -> dict[str, Any]:
    """As `history -o json` shows it."""
    return {"seq": 9, "on": on, "from": source, "to": to, "main": main, "why": on, "data": data}


STARTED = entry("switchover_started", "OPERATIONAL", "FAILOVER", "a", candidate="b", request="r-1")
ENDS = [
    ((), Verdict.UNANSWERED),
    ((STARTED,), Verdict.GRANTED),
    ((STARTED, entry("main_fenced", "FAILOVER", "FAILOVER", "a")), Verdict.GRANTED),
    ((STARTED, entry("main_promoted", "FAILOVER", "DEGRADED", "b")), Verdict.DONE),
    ((STARTED, entry("main_promoted", "FAILOVER", "OPERATIONAL", "c")), Verdict.FAILED),
    ((STARTED, entry("failover_aborted", "FAILOVER", "OPERATIONAL", "a")), Verdict.FAILED),
    ((STARTED, entry("candidate_lost", "FAILOVER", "DEGRADED", None)), Verdict.FAILED),
    ((entry("main_promoted", "FAILOVER", "DEGRADED", "b"),), Verdict.UNANSWERED),
]


@pytest.mark.parametrize(("entries", "verdict"), ENDS, ids=lambda x: str(x)[:40])
def test_how_a_switchover_ended(entries: Any, verdict: Verdict) -> None:
    """Only the named instance as main is success; another main, or none, is told."""
    answer = answer_in(entries, Request("r-1", "switchover"))
    assert answer.verdict is verdict
    assert answer.why


def step(
    on: str, sync: tuple[str, ...] = (), readers: tuple[str, ...] = (), **data: Any
) -> dict[str, Any]:
    """An entry about "b", unless it says something else."""
    made = entry(on, "OPERATIONAL", "OPERATIONAL", "a", **{"instance": "b", **data})
    return {**made, "sync": ["a", *sync], "readers": list(readers)}


ORDERED = step("reset_ordered", request="r-1")
BACK = step("reset_done")
REBUILT = [
    ((ORDERED,), False, Verdict.GRANTED),
    ((ORDERED, step("readers_changed", readers=("b",))), False, Verdict.GRANTED),
    ((ORDERED, step("reset_cancelled")), False, Verdict.GRANTED),
    ((ORDERED, step("reset_cancelled"), ORDERED, BACK), False, Verdict.GRANTED),
    ((ORDERED, BACK, step("readers_changed", readers=("c",))), False, Verdict.GRANTED),
    ((ORDERED, BACK, step("readers_changed", readers=("b",))), False, Verdict.DONE),
    ((ORDERED, BACK, step("readers_changed", readers=("b",))), True, Verdict.GRANTED),
    ((ORDERED, BACK, step("sync_joined", ("b",), ("b",))), True, Verdict.DONE),
    ((ORDERED, BACK, step("instance_refused")), True, Verdict.FAILED),
    ((ORDERED, BACK, step("instance_refused", instance="c")), True, Verdict.GRANTED),
    ((step("request_refused", request="r-1", reason="no"),), True, Verdict.REFUSED),
]


@pytest.mark.parametrize(("entries", "is_eligible", "verdict"), REBUILT, ids=lambda x: str(x)[:20])
def test_how_a_reinit_ended(entries: Any, is_eligible: bool, verdict: Verdict) -> None:
    """Only an instance that came back empty and is whole again is success: in the sync set where it
    may be main, else among the readers."""
    answer = answer_in(entries, Request("r-1", "reinit", instance="b"), is_eligible=is_eligible)
    assert answer.verdict is verdict
    assert answer.why


@pytest.mark.parametrize(
    ("said", "instance", "is_eligible"),
    [
        ("", "memgraph-1", True),
        ("", "memgraph-2", False),
        ("3", "memgraph-2", True),
        ("3", "graph", False),
    ],
)
def test_who_may_be_main_is_the_controllers_own_word(
    said: str, instance: str, is_eligible: bool
) -> None:
    """From their variable, else the default."""
    env = [{"name": "SYNC_ELIGIBLE", "value": said}]
    assert may_be_main(instance, [{"spec": {"containers": [{"env": env}]}}]) is is_eligible


async def test_without_a_sight_of_pods_a_reinit_is_followed_all_the_same(world: World) -> None:
    """The request is written by then: a missing permission must not end the command."""
    world.faults.add(Rule("fail", verb="list", resource="pods", status=403))
    result = await world.cli("reinit", "memgraph-2", "--timeout", "600ms")
    assert result.exit_code == 5


async def test_every_command_explains_itself() -> None:
    """Examples and exit codes stand in each help."""
    commands = {str(words[0]) for words, _, _ in EACH}
    for command in commands:
        result = await invoke(command, "--help")
        assert result.exit_code == 0
        assert f"memgraph-controller {command}" in result.stdout
        assert "  5  asked for, but not answered" in result.stdout
