"""check-attach: what is missing in a StatefulSet is named, with what to add; and the instances of a
StatefulSet that carries another release's labels are seen."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import web_picture as p
import yaml
from cli_world import World, add_pod

from controller.cli.attach_checks import ADVICE, MISSING, OK, Found, checks
from controller.sandbox.apiserver import CONFIGMAPS, PODS, STATEFULSETS

THEIRS = Path(__file__).with_name("their_statefulset.yaml")
"""As a chart of somebody else's makes it, with the values that docs/attach.md names."""

PLAIN = Path(__file__).parents[2] / "manifests/plain/memgraph-controller.yaml"
Edit = Callable[[dict[str, Any]], object]


def ours(kind: str, name: str) -> dict[str, Any]:
    """An object of our chart, as rendered."""
    for rendered in yaml.safe_load_all(PLAIN.read_text()):
        if rendered and rendered["kind"] == kind and rendered["metadata"]["name"] == name:
            return dict(rendered)
    raise LookupError(name)


def hooks() -> dict[str, Any]:
    """The ConfigMap with the boot guard."""
    return ours("ConfigMap", "memgraph-hooks")


def statefulset() -> tuple[dict[str, Any], dict[str, Any]]:
    """The chart's StatefulSet, and its headless Service."""
    return ours("StatefulSet", "memgraph-db"), ours("Service", "memgraph-db")


def theirs() -> dict[str, Any]:
    """A StatefulSet that is ready to be led."""
    found: dict[str, Any] = yaml.safe_load(THEIRS.read_text())
    return found


def found(sts: dict[str, Any], **more: Any) -> Found:
    """It, with the ConfigMap that our chart brings."""
    selector = "app.kubernetes.io/instance=mg"
    maps = {"memgraph-hooks": hooks(), "memgraph-reset": None}
    return Found(sts, None, maps, selector, "memgraph", **more)


def verdicts(given: Found) -> dict[str, str]:
    """What is said of each requirement."""
    return {c.what: c.verdict for c in checks(given)}


def without(sts: dict[str, Any], flag: str) -> None:
    """Take a flag out."""
    args = sts["spec"]["template"]["spec"]["containers"][0]["args"]
    args[:] = [a for a in args if not a.startswith(f"--{flag}")]


def given(sts: dict[str, Any], flag: str) -> None:
    """Give a flag."""
    sts["spec"]["template"]["spec"]["containers"][0]["args"].append(flag)


def test_the_charts_own_statefulset_is_ready() -> None:
    """What our chart makes passes every check, without any advice."""
    own, service = statefulset()
    maps = {"memgraph-hooks": hooks(), "memgraph-reset": None}
    labels = "app.kubernetes.io/instance=memgraph"
    results = checks(Found(own, service, maps, labels, "memgraph"))
    assert [c for c in results if c.verdict != OK] == []
    assert len(results) > 12


def test_the_documented_values_make_another_charts_ready() -> None:
    """With what docs/attach.md says nothing is missing and nothing advised."""
    assert set(verdicts(found(theirs())).values()) == {OK}


def spec(sts: dict[str, Any]) -> dict[str, Any]:
    """Its pods' part."""
    pods: dict[str, Any] = sts["spec"]["template"]["spec"]
    return pods


BROKEN: list[tuple[str, str, Edit]] = [
    ("boot guard", MISSING, lambda s: without(s, "init-file")),
    ("boot guard", MISSING, lambda s: spec(s)["containers"][0].update(volumeMounts=[])),
    ("each commit is on the disk", MISSING, lambda s: without(s, "storage-wal-file-flush")),
    ("--storage-wal-enabled", MISSING, lambda s: given(s, "--storage-wal-enabled=false")),
    (
        "--data-recovery-on-startup",
        MISSING,
        lambda s: given(s, "--data_recovery_on_startup=false"),
    ),
    (
        "--replication-restore-state-on-startup",
        MISSING,
        lambda s: given(s, "--replication-restore-state-on-startup=false"),
    ),
    (
        "a storage mode that replicates",
        MISSING,
        lambda s: given(s, "--storage-mode=IN_MEMORY_ANALYTICAL"),
    ),
    ("two instances or more", MISSING, lambda s: s["spec"].update(replicas=1)),
    ("a volume for each instance", MISSING, lambda s: s["spec"].pop("volumeClaimTemplates")),
    (
        "Memgraph 3.5 or later",
        MISSING,
        lambda s: spec(s)["containers"][0].update(image="memgraph/memgraph:3.2.1"),
    ),
    (
        "Memgraph 3.5 or later",
        ADVICE,
        lambda s: spec(s)["containers"][0].update(image="registry:5000/mg:latest"),
    ),
    (
        "the pods carry the labels",
        MISSING,
        lambda s: s["spec"]["template"]["metadata"].update(labels={"app": "mg"}),
    ),
    ("preStop hook", ADVICE, lambda s: spec(s)["containers"][0].pop("lifecycle")),
    ("time to stop", ADVICE, lambda s: spec(s).pop("terminationGracePeriodSeconds")),
    (
        "init container that sets data aside",
        ADVICE,
        lambda s: spec(s).update(volumes=spec(s)["volumes"][:1]),
    ),
]


@pytest.mark.parametrize(("what", "verdict", "edit"), BROKEN, ids=lambda x: str(x)[:40])
def test_what_is_missing_is_named(what: str, verdict: str, edit: Edit) -> None:
    """Each thing that is taken away is found, and nothing else; it is said what to do."""
    sts = copy.deepcopy(theirs())
    edit(sts)
    wrong = [c for c in checks(found(sts)) if c.verdict != OK and c.what == what]
    assert [c.verdict for c in wrong] == [verdict]
    assert wrong[0].do


def test_a_guard_for_another_port_is_none() -> None:
    """The boot guard has to open the port that the controllers register."""
    assert verdicts(found(theirs(), replication_port=10001))["boot guard"] == MISSING


def test_a_service_has_to_find_pods_that_are_not_ready() -> None:
    """A Service that is not headless, or hides pods that are not ready, is not used."""
    own, service = statefulset()
    maps = {"memgraph-hooks": hooks()}
    labels = "app.kubernetes.io/instance=memgraph"
    plain = {"metadata": {"name": "lb"}, "spec": {"clusterIP": "10.0.0.1"}}
    said = verdicts(Found(own, plain, maps, labels, "memgraph"))
    assert said["the Service is headless"] == MISSING
    assert said["it finds pods that are not ready"] == MISSING
    assert said["the pods' names resolve in it"] == MISSING
    assert verdicts(Found(own, service, maps, labels, "memgraph"))["boot guard"] == OK


async def test_the_command_says_it_and_fails(world: World) -> None:
    """Without the boot guard: exit code 1, and a line says what to add; with it: 0."""
    bad = theirs()
    without(bad, "init-file")
    world.store.create(STATEFULSETS, "prod", {**bad, "metadata": {"name": "bad"}})
    world.store.create(STATEFULSETS, "prod", {**theirs(), "metadata": {"name": "good"}})
    world.store.create(CONFIGMAPS, "prod", hooks())
    labels = ("--selector", "app.kubernetes.io/instance=mg", "--release", "memgraph")
    result = await world.cli("check-attach", "--statefulset", "bad", *labels)
    assert result.exit_code == 1, result.output
    assert "--init-file=/hooks/boot-guard.cypherl" in result.stdout
    assert "do not attach yet" in result.stderr
    result = await world.cli("check-attach", "--statefulset", "good", *labels, "-o", "json")
    assert result.exit_code == 0, result.output
    assert {c["verdict"] for c in json.loads(result.stdout)} == {OK}


async def test_a_statefulset_that_is_not_there(world: World) -> None:
    """Its absence is exit code 4, as everywhere."""
    result = await world.cli("check-attach", "--statefulset", "none")
    assert result.exit_code == 4


async def test_instances_with_other_labels_are_listed(world: World) -> None:
    """Without a controller that answers, the instances that the ledger knows are found by name."""
    main = p.history().cluster.main
    assert main is not None
    world.store.delete(PODS, "prod", main)
    add_pod(world.store, main, "database", "127.0.3.1")
    found = world.store.get(PODS, "prod", main)
    found["metadata"]["labels"] = {"app.kubernetes.io/instance": "mg"}
    world.store.replace(PODS, "prod", main, found)
    result = await world.cli("list", "-o", "json")
    shown = {i["name"]: i for i in json.loads(result.stdout)["instances"]}
    assert "127.0.3.1" in json.dumps(shown[main])
