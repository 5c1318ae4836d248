"""The plain parts of the node for a real control plane, by table."""

from __future__ import annotations

import socket
import struct
from pathlib import Path
from typing import Any

import pytest
import trio

from controller.sandbox.apiserver import NODES, PODS, SERVICES, Store
from controller.sandbox.kubelet import InProcess
from controller.sandbox.kubelet.containers import BadSpec
from controller.sandbox.kubelet.runtime import NotYet
from controller.sandbox.kubelet.sources import environment, keys_of, references
from controller.sandbox.node.directory import Directory
from controller.sandbox.node.images import MEMGRAPH_PROGRAM, Images
from controller.sandbox.node.name_server import HEADER, answer
from controller.sandbox.node.scheduler import Scheduler
from controller.sandbox.node.volumes import write_files

POD = {
    "metadata": {"name": "p", "namespace": "d", "uid": "u", "labels": {"a": "b"}},
    "spec": {"nodeName": "n", "serviceAccountName": "s"},
}


def env_of(*entries: dict[str, Any], found: Any = None, **spec: Any) -> dict[str, str]:
    """The environment without what the sandbox adds."""
    env = environment(POD, {"env": list(entries), **spec}, "10.200.0.9", Path("/d"), found)
    return {name: value for name, value in env.items() if not name.startswith("SANDBOX_")}


def reference(word: str, **fields: Any) -> dict[str, Any]:
    """An entry whose value is elsewhere."""
    return {"name": "X", "valueFrom": {word: fields}}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.labels['a']", "b"),
        ("metadata.annotations['none']", ""),
        ("status.podIP", "10.200.0.9"),
        ("spec.nodeName", "n"),
        ("spec.serviceAccountName", "s"),
    ],
)
def test_fields_of_the_pod(path: str, value: str) -> None:
    """The downward API gives what Kubernetes gives."""
    assert env_of(reference("fieldRef", fieldPath=path)) == {"X": value}


def test_keys_of_objects() -> None:
    """Values come from ConfigMaps and Secrets; only optional ones may be missing."""
    found = {("Secret", "s"): {"k": b"v"}, ("ConfigMap", "c"): None}
    assert env_of(reference("secretKeyRef", name="s", key="k"), found=found) == {"X": "v"}
    lost = reference("configMapKeyRef", name="c", key="k")
    with pytest.raises(NotYet, match="ConfigMap c has no key k"):
        env_of(lost, found=found)
    lost["valueFrom"]["configMapKeyRef"]["optional"] = True
    assert env_of(lost, found=found) == {}
    whole = [{"prefix": "P_", "secretRef": {"name": "s"}}]
    assert env_of(found=found, envFrom=whole) == {"P_k": "v"}
    with pytest.raises(NotYet, match="no ConfigMap c"):
        env_of(found=found, envFrom=[{"configMapRef": {"name": "c"}}])
    with pytest.raises(BadSpec):
        env_of(reference("resourceFieldRef", resource="limits.cpu"))


def test_references_are_all_found() -> None:
    """Whatever the environment needs is read first."""
    spec = {
        "env": [reference("secretKeyRef", name="s", key="k"), reference("fieldRef", fieldPath="x")],
        "envFrom": [{"configMapRef": {"name": "c"}}],
    }
    assert references(spec) == {("Secret", "s"), ("ConfigMap", "c")}
    assert keys_of("Secret", {"data": {"k": "dg=="}}) == {"k": b"v"}
    assert keys_of("ConfigMap", {"data": {"k": "v"}, "binaryData": {"b": "dg=="}}) == {
        "k": b"v",
        "b": b"v",
    }


def test_files_are_replaced_whole_and_only_when_they_differ(tmp_path: Path) -> None:
    """A volume has exactly the keys of its object; what did not change is not touched."""
    write_files(tmp_path, {"a": b"1", "b": b"2"}, 0o555)
    kept = (tmp_path / "a").stat()
    write_files(tmp_path, {"a": b"1", "c": b"3"}, 0o644)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "c"]
    assert (tmp_path / "a").stat().st_ino == kept.st_ino
    assert kept.st_mode & 0o777 == 0o555


def test_images_are_stand_ins() -> None:
    """The controller is the real program, Memgraph our imitation of the tag's version; nothing else
    is known."""
    images = Images({"0.0.1": Path("/old")})
    program = images.find("registry.example:5000/x/memgraph-controller:1.2")
    assert program.entrypoint[1:] == ("-m", "controller.cli")
    assert images.find("memgraph-controller:0.0.1").env["PYTHONPATH"] == "/old"
    assert "--stand-in-version=3.5.2" in images.find("x/memgraph:3.5.2").files[MEMGRAPH_PROGRAM]
    assert "--stand-in-version" not in images.find("memgraph:latest").files[MEMGRAPH_PROGRAM]
    with pytest.raises(BadSpec, match="postgres"):
        images.find("postgres:16")


# --- names --------------------------------------------------------------------------------


class Names:
    """A directory that knows one name, with two addresses, and one with none."""

    def resolve(self, name: str) -> list[str] | None:
        known = {"a.b": ["10.200.0.9", "10.200.0.10"], "empty.b": []}
        return known.get(name)


def question(name: str, kind: int = 1) -> bytes:
    """A datagram that asks for one name."""
    words = b"".join(bytes([len(w)]) + w.encode() for w in name.split("."))
    return HEADER.pack(7, 0x0100, 1, 0, 0, 0) + words + b"\0" + struct.pack(">HH", kind, 1)


@pytest.mark.parametrize(
    ("name", "kind", "code", "addresses"),
    [
        ("a.b", 1, 0, ["10.200.0.9", "10.200.0.10"]),
        ("a.b", 28, 0, []),
        ("empty.b", 1, 0, []),
        ("c.b", 1, 3, []),
    ],
)
def test_names_are_answered(name: str, kind: int, code: int, addresses: list[str]) -> None:
    """Addresses of a known name, none of another kind, "no such name" for an unknown one."""
    reply = answer(question(name, kind), Names())  # type: ignore[arg-type]
    number, flags, asked, count, *_ = HEADER.unpack_from(reply)
    assert (number, flags & 0xF, asked, count) == (7, code, 1, len(addresses))
    found = [reply[len(reply) - 16 * n :][12:16] for n in range(count, 0, -1)]
    assert [socket.inet_ntoa(data) for data in found] == addresses


@pytest.mark.parametrize("data", [b"", b"\0" * 5, question("a.b")[:-3], b"\xff" * 40])
def test_nonsense_gets_no_answer(data: bytes) -> None:
    """A datagram that is no question is passed over."""
    assert answer(data, Names()) == b""  # type: ignore[arg-type]


def service(name: str, address: str) -> dict[str, Any]:
    """A Service with one port."""
    ports = [{"name": "bolt", "port": 7687}]
    return {"metadata": {"name": name}, "spec": {"clusterIP": address, "ports": ports}}


async def test_what_a_service_has_behind_it(nursery: trio.Nursery) -> None:
    """Ready endpoints alone; a host name finds its own; a headless Service is its endpoints."""
    store = Store()
    directory = Directory(InProcess(store))
    endpoints = [
        {"addresses": ["10.200.0.1"], "conditions": {"ready": True}, "hostname": "h-0"},
        {"addresses": ["10.200.0.2"], "conditions": {"ready": False}, "hostname": "h-1"},
        {"addresses": ["10.200.0.3"]},
    ]
    part = {
        "metadata": {"labels": {"kubernetes.io/service-name": "s"}},
        "endpoints": endpoints,
        "ports": [{"name": "bolt", "port": 7688}],
    }
    directory._slices.objects = {("default", "s-x"): part, ("other", "s-x"): part}
    for one in (service("s", "10.96.0.5"), service("h", "None")):
        store.create(SERVICES, "default", one)
    with trio.fail_after(10):
        await nursery.start(directory._services.run)
    (port,) = directory.ports()
    assert (port.address, port.number) == ("10.96.0.5", 7687)
    assert directory.upstreams(port) == [("10.200.0.1", 7688), ("10.200.0.3", 7688)]
    assert directory.resolve("s.default.svc.cluster.local") == ["10.96.0.5"]
    assert directory.resolve("h-0.s.default.svc.cluster.local.") == ["10.200.0.1"]
    assert directory.resolve("h-1.s.default.svc.cluster.local") is None
    assert directory.resolve("h.default.svc.cluster.local") == []
    assert directory.resolve("s.other.svc.cluster.local") is None
    assert directory.resolve("s.default") is None


async def test_pods_of_one_owner_are_spread(nursery: trio.Nursery) -> None:
    """Each next pod goes where its owner has fewest; a cordoned node gets none."""
    store = Store()
    scheduler = Scheduler(InProcess(store), ("a", "b"))
    for name in ("a", "b"):
        store.create(NODES, "", {"metadata": {"name": name}, "spec": {}})
    with trio.fail_after(10):
        await nursery.start(scheduler.run)
        owner = [{"kind": "ReplicaSet", "name": "r", "uid": "r"}]
        made = []
        for number in range(4):
            body = {
                "metadata": {"name": f"p{number}", "ownerReferences": owner},
                "spec": {"containers": [{"name": "c", "image": "i"}]},
            }
            made.append(store.create(PODS, "default", body))
            await trio.testing.wait_all_tasks_blocked()
        assert [scheduler.choose(pod) for pod in made] == ["a", "b", "a", "b"]
        scheduler._nodes.objects["", "a"]["spec"]["unschedulable"] = True
        assert scheduler.choose(made[0]) == "b"
        scheduler._nodes.objects["", "b"]["spec"]["unschedulable"] = True
        assert scheduler.choose(made[0]) == ""
