"""What the chart renders, as objects, for values of `--set`."""

from collections.abc import Iterator
from typing import Any

import yaml
from rendering import rendered


def objects(*values: str, name: str = "memgraph") -> list[dict[str, Any]]:
    """The rendered objects."""
    return [o for o in yaml.safe_load_all(rendered(*values, name=name)) if o]


def of_kind(kind: str, *values: str, name: str = "memgraph") -> list[dict[str, Any]]:
    """Those of one kind."""
    return [o for o in objects(*values, name=name) if o["kind"] == kind]


def pod_specs(*values: str) -> Iterator[dict[str, Any]]:
    """Every pod that the chart starts."""
    for found in objects(*values):
        if found["kind"] in ("StatefulSet", "Deployment"):
            yield found["spec"]["template"]["spec"]


def environment(*values: str) -> dict[str, str]:
    """The controller's environment, as far as it is written down."""
    (deployment,) = of_kind("Deployment", *values)
    env = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    return {e["name"]: e["value"] for e in env if "value" in e}


ATTACHED = ("memgraph.enabled=false", "memgraph.existing.statefulSet=mg")
LABELLED = (*ATTACHED, "memgraph.existing.podLabels.app\\.kubernetes\\.io/instance=theirs")
