"""Which source a status is taken from."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
import web_picture as p

from controller.cli.evidence import lease_age_s, status_of, verify
from controller.cli.exits import NO_ACCESS, NOT_FOUND, Problem
from controller.cli.reading import Api, Release
from controller.kube import KubeNames
from controller.web import status_document

NOW = datetime(2025, 11, 21, 7, 1, tzinfo=UTC)
NAMES = KubeNames("graph", "prod", "", "", "")


def controller(name: str, ip: str) -> dict[str, Any]:
    labels = {"app.kubernetes.io/component": "controller"}
    return {"metadata": {"name": name, "labels": labels}, "status": {"podIP": ip}}


class ProxyingApi(Api):
    """An API server that passes requests on to pods; remembers which were asked."""

    def __init__(self, answering: Mapping[str, Any]) -> None:
        self.asked: list[str] = []
        self._answering = answering

    def get(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
        if "/proxy/" in path:
            pod = path.split("/pods/")[1].split(":")[0]
            self.asked.append(pod)
            if pod not in self._answering:
                raise Problem("forbidden", NO_ACCESS)
            return dict(self._answering[pod])
        if path.endswith("/pods"):
            pods = [controller("controller-b", "10.0.0.2"), controller("controller-a", "10.0.0.1")]
            return {"items": [*pods, controller("controller-c", "")]}
        if path.endswith("/leases"):
            return {"items": []}
        assert path == "/api/v1/namespaces/prod/configmaps/graph-ledger"
        return {"data": p.history().data}


def test_a_controller_is_asked_through_the_api_server_the_leader_first() -> None:
    """Only a controller has probed; of several the leader is asked first."""
    answer = status_document(p.snapshot(), NOW)
    api = ProxyingApi({"controller-a": answer, "controller-b": answer})
    document = status_of(Release(api, NAMES), 8080, NOW)
    assert api.asked == ["controller-a"]
    assert document["source"] == "controller controller-a"
    assert document["instances"] == answer["instances"]


def test_the_next_controller_is_asked_then_the_ledger_alone() -> None:
    """A pod that cannot be asked is passed over, one without an IP never asked."""
    other = ProxyingApi({"controller-b": status_document(p.snapshot(), NOW)})
    assert status_of(Release(other, NAMES), 8080, NOW)["source"] == "controller controller-b"
    nobody = ProxyingApi({})
    assert status_of(Release(nobody, NAMES), 8080, NOW)["source"] == "ledger"
    assert nobody.asked == ["controller-a", "controller-b"]
    stranger = ProxyingApi({"controller-a": {"kind": "Status"}, "controller-b": {}})
    assert status_of(Release(stranger, NAMES), 8080, NOW)["source"] == "ledger"


def test_a_ledger_that_cannot_be_read_is_a_problem_first() -> None:
    """Without the ledger there is no status, whoever else might answer."""

    class NoLedger(ProxyingApi):
        def get(self, path: str, query: Mapping[str, str] | None = None) -> dict[str, Any]:
            raise Problem("not there", NOT_FOUND)

    with pytest.raises(Problem):
        status_of(Release(NoLedger({}), NAMES), 8080, NOW)


@pytest.mark.parametrize("good", range(7))
def test_the_verified_prefix_is_as_long_as_it_can_be(good: int) -> None:
    """Whichever entry is damaged, everything before it is kept and nothing after it."""
    data = dict(p.history().data)
    keys = sorted(data)
    if good < len(keys):
        data[keys[good]] = "{}\n"
    verified = verify(data)
    assert verified.ledger.seq == good
    assert bool(verified.trouble) == (good < len(keys))


def test_an_odd_lease_has_no_age() -> None:
    """What cannot be read claims nothing; a clock ahead of ours is no negative age."""
    assert lease_age_s({}, NOW) == 0.0
    assert lease_age_s({"spec": {"renewTime": "soon"}}, NOW) == 0.0
    assert lease_age_s({"spec": {"renewTime": "2025-11-21T07:00:58.500000Z"}}, NOW) == 1.5
    assert lease_age_s({"spec": {"renewTime": "2025-11-21T08:00:00Z"}}, NOW) == 0.0
