"""Renders what is checked in from the chart: plain manifests, alerts, and the chart's README."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
CHART = ROOT / "manifests/chart/memgraph-controller"
PLAIN = ROOT / "manifests/plain/memgraph-controller.yaml"
README = CHART / "README.md"
ALERTS = ROOT / "manifests/plain/alerts.yaml"
VALUES, DEFAULTS = CHART / "values.yaml", CHART / "files/defaults.yaml"
HEAD = "# Rendered from the chart by ./scripts/render; change the chart.\n"


def helm_path() -> str | None:
    """Where helm is: fetched into the environment, or on PATH."""
    search = [str(Path(sys.prefix) / "kube"), os.environ.get("PATH", "")]
    return shutil.which("helm", path=os.pathsep.join(search))


def helm(*words: str) -> subprocess.CompletedProcess[str]:
    """Run helm without a cluster and without the user's own settings."""
    path = helm_path()
    assert path is not None, "helm is missing: ./scripts/kube/clients fetches it"
    env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
    return subprocess.run([path, *words], capture_output=True, text=True, env=env, check=False)


@cache
def rendered(*values: str, name: str = "memgraph") -> str:
    """The chart's manifests with these `--set` values."""
    words = [w for v in values for w in ("--set", v)]
    done = helm("template", name, str(CHART), "--namespace", "default", "--skip-tests", *words)
    if done.returncode:
        raise ValueError(done.stderr)
    return done.stdout


def plain() -> str:
    """The plain manifests: no chart, no hooks, no generated secret."""
    text = rendered().replace(
        "app.kubernetes.io/managed-by: Helm", "app.kubernetes.io/part-of: memgraph"
    )
    return HEAD + text


def defaults() -> str:
    """The values again, where templates can read them."""
    return "# values.yaml, copied by ./scripts/render.\n" + VALUES.read_text()


@cache
def alerts() -> str:
    """The alerts as a rule file, for a Prometheus without the operator."""
    found = [o for o in yaml.safe_load_all(rendered("prometheusRule.enabled=true")) if o]
    (rule,) = [o for o in found if o["kind"] == "PrometheusRule"]
    return HEAD + yaml.safe_dump(rule["spec"], sort_keys=False, width=1000, allow_unicode=True)


def readme() -> str:
    """The chart's README: every value with its default and what it means."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = yaml.safe_load(VALUES.read_text())
    rows = "".join(
        f"| `{name}` | {_shown(default)} | {text} |\n"
        for name, default, text in _values(schema, schema, values, "")
    )
    return README_HEAD + "| value | default | meaning |\n|---|---|---|\n" + rows


def _shown(default: Any) -> str:
    return f"`{json.dumps(default)}`"


def _values(
    schema: dict[str, Any], part: dict[str, Any], defaults: Any, prefix: str
) -> Iterator[tuple[str, Any, str]]:
    for name, found in part["properties"].items():
        if name == "global":
            continue
        target = schema["definitions"][found["$ref"].split("/")[-1]] if "$ref" in found else found
        default = defaults.get(name) if isinstance(defaults, dict) else None
        if target.get("properties"):
            yield from _values(schema, target, default or {}, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", default, found.get("description", "")


README_HEAD = """# memgraph-controller

Memgraph Community Edition with automatic failover: a StatefulSet of Memgraph, controller pods with
a read/write and a read-only gateway, and what they need.

```console
$ helm install memgraph manifests/chart/memgraph-controller --namespace graphs --create-namespace
$ helm test memgraph --namespace graphs
```

Clients use `<release>-gateway:7687` to write and `<release>-gateway-read:7687` to read. Volumes,
the ledger and a generated password outlive `helm uninstall`; a new release of the same name adopts
them.

"""


def main() -> None:
    """Write them all."""
    DEFAULTS.write_text(defaults())
    PLAIN.write_text(plain())
    ALERTS.write_text(alerts())
    README.write_text(readme())


if __name__ == "__main__":
    main()
