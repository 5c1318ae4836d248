"""Values that a release does not have, and the volume for logs."""

import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from chart_objects import of_kind
from rendering import CHART, DEFAULTS, ROOT, VALUES, defaults, helm, helm_path, rendered

pytestmark = [
    pytest.mark.helm,
    pytest.mark.skipif(helm_path() is None, reason="helm is missing: ./scripts/kube/clients"),
]

PREVIOUS = ROOT / "tests/kube_real/previous-version.tar.gz"


def rendered_with(chart: Path, *words: str) -> str:
    """What this chart renders as the release of the other tests."""
    done = helm(
        "template", "memgraph", str(chart), "--namespace", "default", "--skip-tests", *words
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def with_values(directory: Path, values: str) -> Path:
    """The chart as `helm upgrade --reuse-values` sees it: its templates and its schema, with the
    defaults of another one."""
    chart = directory / CHART.name
    shutil.copytree(CHART, chart)
    (chart / "values.yaml").write_text(values)
    return chart


def previous_values() -> dict[str, Any]:
    """The defaults of the chart that upgrades begin from."""
    with tarfile.open(PREVIOUS) as archive:
        found = archive.extractfile(str(VALUES.relative_to(ROOT)))
        assert found is not None
        return dict(yaml.safe_load(found))


def test_the_copy_of_the_values_is_current() -> None:
    """Templates read a copy of values.yaml; it is the same."""
    assert DEFAULTS.read_text() == defaults(), "run ./scripts/render"


@pytest.mark.parametrize("leaves", ["nothing", "empty objects"])
def test_a_value_that_is_missing_has_its_default(tmp_path: Path, leaves: str) -> None:
    """However much of it an older release does not know, the chart renders as with its defaults."""
    values: dict[str, Any] = {}
    if leaves == "empty objects":
        given = yaml.safe_load(VALUES.read_text())
        values = {name: {} for name, value in given.items() if isinstance(value, dict)}
    chart = with_values(tmp_path, yaml.safe_dump(values))
    assert rendered_with(chart) == rendered()


def test_an_upgrade_may_keep_the_previous_defaults(tmp_path: Path) -> None:
    """`--reuse-values` from the previous chart renders what its values and our new ones say. A
    value that has another name now is refused by its name, never ignored."""
    kept = previous_values()
    renamed = with_values(tmp_path / "renamed", yaml.safe_dump(kept))
    refused = helm("template", "memgraph", str(renamed))
    assert refused.returncode != 0
    assert "'/prometheusRule': additional properties 'runbook' not allowed" in refused.stderr
    del kept["prometheusRule"]["runbook"], kept["tests"]
    older = tmp_path / "older.yaml"
    older.write_text(yaml.safe_dump(kept))
    chart = with_values(tmp_path, older.read_text())
    assert rendered_with(chart) == rendered_with(CHART, "--values", str(older))


def test_what_a_person_took_out_stays_out() -> None:
    """A limit that was removed does not come back from the copy of the defaults."""
    (found,) = of_kind("StatefulSet", "memgraph.resources.limits=null")
    (container,) = found["spec"]["template"]["spec"]["containers"]
    assert "limits" not in container["resources"]
    assert "requests" in container["resources"]


def test_without_a_size_there_is_no_volume_for_logs() -> None:
    """By default Memgraph's log is the pod's."""
    (found,) = of_kind("StatefulSet")
    (container,) = found["spec"]["template"]["spec"]["containers"]
    assert "--log-file=" in container["args"]
    assert [c["metadata"]["name"] for c in found["spec"]["volumeClaimTemplates"]] == ["data"]


def test_logs_may_have_a_volume_of_their_own() -> None:
    """With a size there is a claim of that size and class, mounted where Memgraph writes its log
    files, which have an end; what is logged is in the pod's log as well."""
    logs = ("size=3Gi", "className=slow", "keepDays=5", "level=INFO")
    (found,) = of_kind("StatefulSet", *(f"memgraph.logs.{value}" for value in logs))
    (container,) = found["spec"]["template"]["spec"]["containers"]
    data, claim = found["spec"]["volumeClaimTemplates"]
    assert claim["metadata"] == {**data["metadata"], "name": "logs"}
    assert claim["spec"]["storageClassName"] == "slow"
    assert claim["spec"]["resources"]["requests"]["storage"] == "3Gi"
    (mount,) = [m for m in container["volumeMounts"] if m["name"] == "logs"]
    (file,) = [a.removeprefix("--log-file=") for a in container["args"] if "--log-file=" in a]
    assert Path(file).parent == Path(mount["mountPath"])
    assert {"--log-retention-days=5", "--log-level=INFO"} <= set(container["args"])
    assert "--also-log-to-stderr=true" in container["args"]
