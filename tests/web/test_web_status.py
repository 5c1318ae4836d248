"""What status says (scenario 101: it hides nothing; scenario 1 of the page: age of each fact)."""

import json
from datetime import UTC, datetime
from typing import Any

import web_picture as p
from attrs import evolve, fields

from controller.web import ledger_document, status_document
from controller.web.instances import names_of
from controller.web.page.live import LivePage
from controller.web.routing import routing_document
from controller.web.status import problems
from gateway import Counters
from statemachine.cluster import Change
from statemachine.ids import Instance, Mode, Phase, Role, RowStatus, Seq, Term
from statemachine.observations import Failure

NOW = datetime(2025, 11, 21, 7, 1, tzinfo=UTC)


def shown(**changes: Any) -> dict[str, Any]:
    """The document as a client reads it: through JSON."""
    document = status_document(p.snapshot(**changes), NOW)
    return dict(json.loads(json.dumps(document, allow_nan=False)))


def instance(document: dict[str, Any], name: str) -> dict[str, Any]:
    return next(i for i in document["instances"] if i["name"] == name)


def test_a_healthy_cluster_is_shown_whole() -> None:
    """Phase, term, main, sync set, readers, leader, gateways and leases are all there."""
    document = shown()
    assert (document["healthy"], document["problems"]) == (True, [])
    assert (document["phase"], document["term"], document["main"]) == (
        "OPERATIONAL",
        8,
        "memgraph-1",
    )
    assert document["sync"] == ["memgraph-0", "memgraph-1"]
    assert document["readers"] == ["memgraph-2"]
    assert document["writes"] == {"open": True, "why_closed": "", "fenced_here": False}
    assert document["leader"] == {
        "identity": "controller-a/1",
        "is_this_pod": True,
        "for_s": 60.0,
    }
    assert document["gateways"]["rw"]["listening"] == "0.0.0.0:7687"
    assert document["gateways"]["rw"]["refused"] == {"no_route": 5}
    assert document["gateway_leases"][0]["age_s"] == 0.5
    assert document["gateway_leases"][0]["vantage"] == {"memgraph-1": "ok"}
    assert document["ledger"] == {
        "seq": 41,
        "head": "",
        "verified": True,
        "trouble": "",
        "missing_archives": [],
        "entries": 0,
        "bytes": 0,
    }


def test_a_gateway_is_told_as_whole_as_its_metrics() -> None:
    """Status and routing say of a gateway: since when it follows its route, who was refused, held,
    cut and drained, and whose bytes went which way."""
    picture = p.snapshot(worker_restarts=2)
    gateway = shown(worker_restarts=2)["gateways"]["rw"]
    assert routing_document(picture)["gateways"]["rw"] == gateway
    assert routing_document(picture)["worker_restarts"] == 2
    assert gateway["route_age_s"] == 30.0
    assert (gateway["held"], gateway["cut"]) == (1, 4)
    assert (gateway["cut_by_term"], gateway["drained_by_term"]) == ({"8": 4}, {"8": 1})
    assert gateway["failed_dials"] == {"memgraph-2": 2}
    assert gateway["bytes_by_instance"] == {
        "memgraph-0": {"up": 400, "down": 0},
        "memgraph-1": {"up": 600, "down": 2000},
    }
    assert gateway["lasted"] == {"count": 6, "total_s": 40.0}


def test_every_counter_of_a_gateway_is_in_its_document() -> None:
    """What is counted from now on is told over HTTP, too: a field that the document lacks fails."""
    told_as = {
        "bytes_up_by": "bytes_by_instance",
        "bytes_down_by": "bytes_by_instance",
        "durations_s": "lasted",
        "waits_s": "waited",
        "dials_s": "dialled",
    }
    wanted = {told_as.get(field.name, field.name) for field in fields(Counters)}
    assert wanted <= shown()["gateways"]["rw"].keys()


def test_each_instance_is_shown_with_the_age_of_its_facts() -> None:
    """Role by the ledger and role seen, mode, status, lag, pod: side by side, with ages."""
    document = shown()
    assert [i["name"] for i in document["instances"]] == ["memgraph-0", "memgraph-1", "memgraph-2"]
    sync, main, reader = document["instances"]
    assert (sync["role"], sync["role_seen"], sync["mode"]) == ("sync", "replica", "strict_sync")
    assert (sync["status"], sync["behind"]) == ("ready", 0)
    assert (main["role"], main["role_seen"], main["mode"]) == ("main", "main", "")
    assert [r["name"] for r in main["rows"]] == ["memgraph_0_g4", "memgraph_2_g5"]
    assert (reader["role"], reader["behind"], reader["is_reader"]) == ("async", -2, True)
    assert main["answer"]["age_s"] == 0.2
    assert main["pod"]["ip"] == "10.0.0.11"


def test_a_silent_main_is_shown_with_kind_text_and_duration() -> None:
    """Scenario 101: a failing prober is in status, with for how long, and the last answer's age."""
    seen = p.failing(p.view(), p.M1, Failure.SILENT, "no answer in 1 s", 3.0)
    document = shown(view=seen, refusals=(p.REFUSAL,))
    main = instance(document, "memgraph-1")
    assert main["role_seen"] == "silent"
    assert main["failure"] == {"kind": "silent", "text": "no answer in 1 s", "for_s": 3.0}
    assert main["answer"]["role"] == "main"
    assert document["problems"] == [
        "memgraph-1 does not answer (silent for 3.0 s): no answer in 1 s"
    ]
    assert document["refusals"][0]["guard"] == "vantages_agree"
    assert document["refusals"][0]["facts"]["evidence_lasts"] == "2.1 s of 2.0 s"


def test_two_mains_are_shown() -> None:
    """Scenario 101: an instance that says MAIN unappointed is a problem by name."""
    seen = p.without(p.view(), p.M0, answer=p.answer(p.M0, Role.MAIN))
    document = shown(view=seen)
    assert instance(document, "memgraph-0")["is_stray_main"]
    assert document["problems"] == ["memgraph-0 says MAIN and is not the appointed main"]


def test_a_candidate_that_says_main_is_no_stray() -> None:
    """During FAILOVER the candidate becomes MAIN before the ledger says so."""
    change = Change("the main is silent", p.M1, p.M0)
    cluster = p.cluster(phase=Phase.FAILOVER, change=change)
    seen = p.without(p.view(), p.M0, answer=p.answer(p.M0, Role.MAIN))
    document = shown(cluster=cluster, view=seen)
    assert instance(document, "memgraph-0")["role"] == "candidate"
    assert document["change"]["candidate"] == "memgraph-0"
    assert document["problems"] == [
        "the phase is FAILOVER: the main changes: memgraph-0 is candidate"
    ]


def test_diverged_and_refused_replicas_are_shown() -> None:
    """Scenario 101: what the main says of its replicas is a problem by name."""
    rows = (
        p.row("memgraph_0_g4", Mode.STRICT_SYNC, behind=3),
        p.row("memgraph_2_g5", Mode.ASYNC, RowStatus.DIVERGED),
    )
    seen = p.without(p.view(), p.M1, answer=p.answer(p.M1, Role.MAIN, *rows))
    document = shown(view=seen, cluster=p.cluster(refused=(p.REFUSED,)))
    assert document["problems"] == [
        "memgraph-0 is ahead of the main by 3",
        "the main does not accept the data of memgraph-2: Error: 3",
        "the main says that replica memgraph-2 is diverged",
    ]
    assert instance(document, "memgraph-2")["role"] == "refused"


def test_authentication_failures_are_shown_by_instance() -> None:
    """A wrong password is a line of its own, not a dead database."""
    seen = p.failing(p.view(), p.M2, Failure.AUTH, "Authentication failure", 9.0)
    document = shown(view=seen)
    assert document["auth_failed"] == ["memgraph-2"]
    assert instance(document, "memgraph-2")["auth_failed"]


def test_trouble_with_ledger_and_api_server_is_shown() -> None:
    """Neither a broken ledger nor a silent API server is hidden."""
    document = shown(ledger_trouble="entry 7", kube_trouble={"pods": "403", "ledger": ""})
    assert document["kube"] == {"trouble": {"pods": "403"}}
    assert document["problems"] == ["ledger: entry 7", "API server, pods: 403"]
    assert not document["healthy"]


def test_a_standby_before_its_first_reading_has_a_document() -> None:
    """Nothing is known yet, and that is said; nothing raises."""
    empty = evolve(p.view(), instances=(), gateways=(), identity="")
    document = shown(
        cluster=p.Cluster(), view=empty, is_ledger_verified=False, is_leader=False, gateways={}
    )
    assert document["main"] is None
    assert document["leader"]["for_s"] is None
    assert [i["role_seen"] for i in document["instances"]] == ["unseen", "unseen"]
    assert "ledger: not read yet" in document["problems"]


def test_last_failover_has_its_timings() -> None:
    """Detected, fenced, promoted by the ledger; opened by this pod's gateway, in the same term."""
    ledger = p.history()
    opened = {
        "rw_opened_at": "2025-11-21T07:00:11+00:00",
        "rw_opened_term": int(ledger.cluster.term),
    }
    document = shown(cluster=ledger.cluster, ledger_lines=ledger.lines, **opened)
    last = document["last_failover"]
    assert (last["old_main"], last["new_main"], last["proof"]) == (
        "memgraph-0",
        "memgraph-1",
        "dead",
    )
    assert (last["fenced_after_s"], last["promoted_after_s"]) == (0.25, 0.9)
    assert last["opened_after_s"] == 1.0
    assert document["last_change"] == last
    assert "no second copy" in document["problems"][0]
    other = {"rw_opened_term": int(ledger.cluster.term) - 1}
    document = shown(cluster=ledger.cluster, ledger_lines=ledger.lines, **(opened | other))
    assert document["last_failover"]["opened_after_s"] is None


def test_ledger_lines_are_given_as_stored_after_a_position() -> None:
    """`since` skips what the client has; the rest is byte for byte what the ConfigMap holds."""
    ledger = p.history()
    snapshot = p.snapshot(cluster=ledger.cluster, ledger_lines=ledger.lines)
    assert ledger_document(snapshot, 0) == "".join(ledger.lines)
    assert ledger_document(snapshot, 4) == "".join(ledger.lines[4:])
    assert ledger_document(snapshot, 6) == ""
    assert ledger_document(snapshot, 10**9) == ""
    tail = evolve(snapshot, ledger_lines=ledger.lines[3:])
    assert ledger_document(tail, 4) == "".join(ledger.lines[4:])


def test_names_are_ordered_by_number() -> None:
    """memgraph-10 stands after memgraph-9."""
    policy = evolve(p.view().policy, eligible=tuple(Instance(f"m-{i}") for i in range(11)))
    names = names_of(p.Cluster(), evolve(p.view(), policy=policy, instances=()))
    assert names[-2:] == ("m-9", "m-10")


def test_a_loop_that_does_not_turn_is_a_problem() -> None:
    """A hung loop shows old facts; the document says so, for the ages alone are overlooked."""
    assert "the loop of this pod does not turn" in problems(p.snapshot(now_s=p.NOW_S + 31))
    assert problems(p.snapshot(cluster=p.cluster(seq=Seq(1), term=Term(1)))) == []


def test_a_failover_that_moved_into_an_archive_is_still_told() -> None:
    """The live part begins behind it; what was kept of the entries before says who was main, and
    the timeline shows them."""
    lines = p.history().lines
    cut = p.snapshot(ledger_lines=lines[6:], earlier_lines=lines[2:6])
    for name in ("last_change", "last_failover"):
        assert status_document(cut, NOW)[name]["old_main"] == "memgraph-0"
    bare = p.snapshot(ledger_lines=lines[6:])
    assert status_document(bare, NOW)["last_failover"] is None
    page = LivePage(lambda: cut).page()
    assert "because of main_lost" in page
