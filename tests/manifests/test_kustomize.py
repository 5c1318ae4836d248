"""The kustomize base and the overlay that the docs show, built by kubectl itself."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]


def kubectl_path() -> str | None:
    """Where kubectl is: fetched into the environment, or on PATH."""
    search = [str(Path(sys.prefix) / "kube"), os.environ.get("PATH", "")]
    return shutil.which("kubectl", path=os.pathsep.join(search))


pytestmark = [
    pytest.mark.helm,
    pytest.mark.skipif(kubectl_path() is None, reason="kubectl is missing: ./scripts/kube/clients"),
]


def built(folder: str) -> list[dict[str, Any]]:
    """What `kubectl kustomize` makes of a folder."""
    words = [str(kubectl_path()), "kustomize", str(ROOT / "manifests" / folder)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return [o for o in yaml.safe_load_all(done.stdout) if o]


def key(found: dict[str, Any]) -> tuple[str, str]:
    """Kind and name."""
    return found["kind"], found["metadata"]["name"]


def test_the_base_is_the_plain_manifests() -> None:
    """Nothing is lost, added or changed on the way."""
    text = (ROOT / "manifests/plain/memgraph-controller.yaml").read_text()
    plain = {key(o): o for o in yaml.safe_load_all(text) if o}
    assert {key(o): o for o in built("plain")} == plain


def test_the_overlay_reaches_everything_that_it_should() -> None:
    """Namespace (the RoleBinding's subject, too), images, storage and a setting."""
    found = {key(o): o for o in built("kustomize/example")}
    assert {o["metadata"]["namespace"] for o in found.values()} == {"graphs"}
    (subject,) = found["RoleBinding", "memgraph"]["subjects"]
    assert subject["namespace"] == "graphs"
    database = found["StatefulSet", "memgraph-db"]["spec"]
    pods = database["template"]["spec"]
    images = {c["image"] for c in [*pods["initContainers"], *pods["containers"]]}
    assert images == {"registry.example/memgraph:3.6.1"}
    (claim,) = database["volumeClaimTemplates"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "50Gi"
    (box,) = found["Deployment", "memgraph"]["spec"]["template"]["spec"]["containers"]
    assert box["image"] == "registry.example/memgraph-controller:0.1.0"
    settings = [(e["name"], e["value"]) for e in box["env"] if "value" in e]
    assert ("DURABILITY", "required") in settings
    assert len(settings) == len(dict(settings))
