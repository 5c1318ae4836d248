"""list, status and history against an API server on a real port, as a user runs them."""

import json
from functools import partial

import pytest
import trio
import web_picture as p
import yaml
from cli_world import World, invoke, kubeconfig
from test_cli_server import Where

from controller.sandbox.apiserver import CONFIGMAPS
from controller.sandbox.apiserver.faults import Mode, Rule
from controller.web import serve


async def test_history_shows_each_transition_in_order(world: World) -> None:
    """Seq, time, phases, trigger, reason, main and term: one line each, plain in a pipe."""
    result = await world.cli("history")
    assert result.exit_code == 0, result.output
    head, *lines = result.stdout.splitlines()
    assert head.split() == ["SEQ", "AT", "FROM", "TO", "ON", "MAIN", "TERM", "WHY"]
    assert [line.split()[0] for line in lines] == ["1", "2", "3", "4", "5", "6"]
    assert lines[3].split()[1:8] == [
        "2025-11-21T07:00:10.000+00:00",
        "OPERATIONAL",
        "FAILOVER",
        "main_lost",
        "memgraph-0",
        str(json.loads(p.history().lines[3])["term"]),
        "because",
    ]
    assert "\x1b[" not in result.stdout


async def test_history_as_json_and_since(world: World) -> None:
    """The entries as stored, those after --since alone."""
    result = await world.cli("history", "--since", "4", "-o", "json")
    entries = json.loads(result.stdout)
    assert [e["on"] for e in entries] == ["main_fenced", "main_promoted"]
    result = await world.cli("history", "-o", "yaml")
    assert [e["seq"] for e in yaml.safe_load(result.stdout)] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("edited", [2, 5])
async def test_a_broken_ledger_is_shown_as_far_as_it_is_verified(world: World, edited: int) -> None:
    """What stands after an edited line is not history; a loud line says so, and the code is 1."""
    data = dict(p.history().data)
    key = f"{edited:08d}"
    data[key] = data[key].replace("because", "for no reason")
    world.write_ledger(data)
    result = await world.cli("history")
    assert result.exit_code == 1
    assert len(result.stdout.splitlines()) == 1 + edited  # the next line's chain tells
    assert f"!! the ledger is broken after entry {edited}: entry {edited + 1:08d}" in result.stderr
    assert (await world.cli("list")).stderr.startswith("!! the ledger is broken")


async def test_list_without_a_controller_says_what_the_ledger_and_the_pods_say(
    world: World,
) -> None:
    """Roles by the ledger, pod IPs, what controllers say in their Leases; lag is unknown."""
    result = await world.cli("list")
    assert result.exit_code == 0, result.output
    head, *lines = (line.split() for line in result.stdout.splitlines())
    assert head == ["NAME", "ROLE", "SEEN", "MODE", "STATUS", "BEHIND", "POD", "IP", "AGE"]
    assert lines == [
        ["memgraph-0", "none", "silent", "-", "-", "-", "127.0.1.0", "-"],
        ["memgraph-1", "main", "answers", "1/1", "-", "-", "-", "127.0.1.1", "-"],
        ["memgraph-2", "none", "unseen", "-", "-", "-", "127.0.1.2", "-"],
    ]


async def test_status_is_1_when_the_cluster_is_not_well(world: World) -> None:
    """DEGRADED is told on stderr and by the exit code; stdout stays a document."""
    result = await world.cli("status")
    assert result.exit_code == 1
    assert "phase" in result.stdout
    assert "DEGRADED" in result.stdout
    assert "memgraph-0 -> memgraph-1, new main after 0.900 s, loss: none" in result.stdout
    assert "!! the phase is DEGRADED" in result.stderr
    result = await world.cli("status", "-o", "json")
    document = json.loads(result.stdout)
    assert (document["source"], document["main"]) == ("ledger", "memgraph-1")
    assert document["gateway_leases"][0]["acked_seq"] == 6
    assert 0 <= document["gateway_leases"][0]["age_s"] < 60


async def test_a_controller_knows_what_probes_have_seen(nursery: trio.Nursery) -> None:
    """With --url everything is shown, lag and ages too, and no kubeconfig is needed."""
    address = await nursery.start(partial(serve, Where(), p.snapshot))
    with trio.fail_after(20):
        result = await invoke("list", "--url", f"http://{address}")
        assert result.exit_code == 0, result.output
        lines = [line.split() for line in result.stdout.splitlines()]
        assert lines[1] == [
            "memgraph-0",
            "sync",
            "replica",
            "strict_sync",
            "ready",
            "0",
            "10.0.0.10",
            "0.2s",
        ]
        assert lines[3][5] == "-2"
        assert (await invoke("status", "--url", f"http://{address}")).exit_code == 0
        assert (await invoke("status", "--url", "http://127.0.0.1:1")).exit_code == 4


async def test_the_only_release_of_the_namespace_is_found(world: World) -> None:
    """Without --release the one there is, is meant; with two, both are named."""
    assert (await world.cli("list", "--release", "graph")).exit_code == 0
    result = await world.cli("list", "--release", "nobody")
    assert result.exit_code == 4
    assert "nobody-ledger" in result.stderr
    result = await world.cli("list", "--namespace", "elsewhere")
    assert result.exit_code == 4
    assert "no ledger in namespace elsewhere" in result.stderr
    labels = {"memgraph-controller/kind": "ledger"}
    world.store.create(CONFIGMAPS, "prod", {"metadata": {"name": "other-ledger", "labels": labels}})
    result = await world.cli("list")
    assert result.exit_code == 2
    assert "graph, other" in result.stderr


@pytest.mark.parametrize(("status", "exit_code"), [(401, 3), (403, 3), (500, 4)])
async def test_refusals_of_the_api_server_have_their_code(
    world: World, status: int, exit_code: int
) -> None:
    """No access is told apart from not there."""
    world.faults.add(Rule("fail", resource="configmaps", status=status, count=None))
    result = await world.cli("history", "--release", "graph")
    assert result.exit_code == exit_code
    assert result.stdout == ""


async def test_an_api_server_that_is_not_there(world: World) -> None:
    """Unreachable is 4, an unusable kubeconfig is 2; neither shows a traceback."""
    world.kubeconfig.write_text(yaml.safe_dump(kubeconfig("http://127.0.0.1:1")))
    result = await world.cli("history")
    assert (result.exit_code, "does not answer" in result.stderr) == (4, True)
    world.kubeconfig.write_text("[]")
    result = await world.cli("history")
    assert (result.exit_code, "no usable kubeconfig" in result.stderr) == (2, True)
    world.kubeconfig.unlink()
    assert (await world.cli("history")).exit_code == 2


async def test_an_api_server_that_hangs_up(world: World) -> None:
    """Connections that break are a sentence and code 4."""
    world.faults.set_mode(Mode.DOWN)
    result = await world.cli("list")
    assert result.exit_code == 4
    assert "Traceback" not in result.output
