"""Alerts and dashboard: they are understood by Prometheus, fire when they should and only then, use
metrics that exist, and each leads to a page that says what to do."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from alert_cases import CASES, MATCHERS, promtool_tests
from rendering import ALERTS, CHART, ROOT, alerts, helm, helm_path, rendered

RUNBOOKS = ROOT / "docs/runbooks"
METRICS = ROOT / "docs/metrics.md"
OPERATOR = (
    "monitoring.coreos.com/v1/ServiceMonitor",
    "monitoring.coreos.com/v1/PrometheusRule",
)


def promtool_path() -> str | None:
    """Where promtool is: fetched into the environment, or on PATH."""
    search = [str(Path(sys.prefix) / "kube"), os.environ.get("PATH", "")]
    return shutil.which("promtool", path=os.pathsep.join(search))


pytestmark = [
    pytest.mark.helm,
    pytest.mark.skipif(helm_path() is None, reason="helm is missing: ./scripts/kube/clients"),
    pytest.mark.skipif(promtool_path() is None, reason="promtool is missing: ./scripts/promtool"),
]


def promtool(*words: str | Path) -> str:
    """What promtool says; it has to be content."""
    path = promtool_path()
    assert path is not None
    done = subprocess.run(
        [path, *map(str, words)], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def rules() -> list[dict[str, Any]]:
    """The alerts, as rendered for a release `memgraph` in `default`."""
    (group,) = yaml.safe_load(alerts())["groups"]
    found: list[dict[str, Any]] = group["rules"]
    return found


def dashboard() -> dict[str, Any]:
    """The dashboard."""
    found: dict[str, Any] = json.loads((CHART / "files/dashboard.json").read_text())
    return found


def dashboard_queries() -> list[str]:
    """Every expression of the dashboard."""
    board = dashboard()
    found = [t["expr"] for panel in board["panels"] for t in panel.get("targets", [])]
    return found + [note["expr"] for note in board["annotations"]["list"]]


def test_the_plain_alerts_are_current() -> None:
    """What is checked in for a Prometheus without the operator is what the chart renders."""
    assert ALERTS.read_text() == alerts(), "run ./scripts/render"


def test_prometheus_understands_the_rules(tmp_path: Path) -> None:
    """`promtool check rules` finds nothing, in expressions and in templates."""
    file = tmp_path / "rules.yaml"
    file.write_text(alerts())
    assert f"{len(rules())} rules found" in promtool("check", "rules", file)


def test_alerts_fire_when_they_should_and_only_then(tmp_path: Path) -> None:
    """Each case of alert_cases.py, by Prometheus' own evaluation."""
    (tmp_path / "rules.yaml").write_text(alerts())
    severities = {r["alert"]: r["labels"]["severity"] for r in rules()}
    cases = tmp_path / "cases.yaml"
    cases.write_text(yaml.safe_dump(promtool_tests("rules.yaml", severities)))
    promtool("test", "rules", cases)


def test_every_alert_was_seen_firing_and_silent() -> None:
    """No alert is there that was never seen to fire, or never seen to keep quiet."""
    names = {r["alert"] for r in rules()}
    assert {c.alert for c in CASES if c.fires is not None} == names
    assert {c.alert for c in CASES if c.fires is None} == names


@pytest.mark.parametrize("rule", rules() if helm_path() else [], ids=lambda r: str(r["alert"]))
def test_every_alert_leads_to_a_page(rule: dict[str, Any]) -> None:
    """The link's page is there, is about this alert, and says what it means, what to look at and
    what to do."""
    link = rule["annotations"]["runbook_url"]
    page = (ROOT / link).read_text()
    assert page.startswith("# ")
    assert rule["alert"] in page
    for head in ("## What it means", "## What to look at", "## What to do"):
        assert head in page, head


def test_no_page_is_about_an_alert_that_is_gone() -> None:
    """Every page is the runbook of some alert, and the index lists them all."""
    linked = {Path(r["annotations"]["runbook_url"]).name for r in rules()}
    there = {p.name for p in RUNBOOKS.glob("*.md")} - {"README.md"}
    assert there == linked
    index = (RUNBOOKS / "README.md").read_text()
    assert all(f"]({name})" in index for name in there)
    assert all(r["alert"] in index for r in rules())


def test_a_runbook_address_is_used() -> None:
    """Where the pages are published elsewhere, the links lead there."""
    shown = rendered("prometheusRule.enabled=true", "prometheusRule.runbooks=http://pages/r/")
    assert "runbook_url: http://pages/r/MemgraphNoSync.md" in shown


ROW = re.compile(r"\| `(memgraph_controller_\w+|process_\w+)` \| (\w+) \|([\w, ]*)\|")
ADDED_BY_PROMETHEUS = {"namespace", "job", "pod", "le"}


def exposed() -> dict[str, set[str]]:
    """Every series that the product has, and its labels, by the table of docs/metrics.md (which the
    web room's tests hold equal to what is exposed)."""
    found: dict[str, set[str]] = {}
    for name, kind, words in ROW.findall(METRICS.read_text()):
        labels = set(re.findall(r"\w+", words)) | ADDED_BY_PROMETHEUS
        ends = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
        found |= {f"{name}{end}": labels for end in ends}
    return found


def used(text: str) -> list[tuple[str, set[str]]]:
    """The series of ours in an expression, and the labels by which they are chosen."""
    pairs = re.findall(r"((?:memgraph_controller|process)_\w+)\{([^}]*)\}", text)
    return [(name, set(re.findall(r"(\w+)=", matchers))) for name, matchers in pairs]


def test_every_metric_in_use_exists() -> None:
    """Neither an alert nor a panel asks for a series, or by a label, that the product does not
    have."""
    there = exposed()
    queries = [*(r["expr"] for r in rules()), *dashboard_queries()]
    asked = [pair for query in queries for pair in used(query)]
    assert len({name for name, _ in asked}) > 30
    for name, labels in asked:
        assert name in there, name
        assert labels <= there[name], f"{name}: {labels - there[name]}"


def test_the_dashboard_is_one() -> None:
    """Panels have ids of their own, a title and a place that no other panel has; each query names
    the release that was chosen."""
    panels = dashboard()["panels"]
    assert len({p["id"] for p in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert panel["title"]
        assert at["x"] + at["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells
    for query in dashboard_queries():
        assert query.count("{") == query.count('{namespace="$namespace",job="$job"'), query


def test_prometheus_understands_the_dashboard(tmp_path: Path) -> None:
    """Every query of a panel is one, with Grafana's variables filled in."""
    plain = [
        q.replace("$__rate_interval", "1m").replace("$namespace", "n").replace("$job", "j")
        for q in dashboard_queries()
    ]
    entries = [{"record": f"panel:{i}", "expr": q} for i, q in enumerate(plain)]
    file = tmp_path / "panels.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": entries}]}))
    promtool("check", "rules", file)


def monitoring(*words: str) -> list[dict[str, Any]]:
    """What is rendered for monitoring."""
    base = ("template", "memgraph", str(CHART), "--namespace", "default")
    done = helm(*base, *words)
    assert done.returncode == 0, done.stderr
    found = [o for o in yaml.safe_load_all(done.stdout) if o]
    kinds = {"ServiceMonitor", "PrometheusRule"}
    return [o for o in found if o["kind"] in kinds or o["metadata"]["name"].endswith("-dashboard")]


def test_monitoring_is_there_where_its_kinds_are() -> None:
    """By default: with the Prometheus operator all of it, without it nothing; each switch works."""
    assert not monitoring()
    known = [word for api in OPERATOR for word in ("--api-versions", api)]
    assert {o["kind"] for o in monitoring(*known)} == {
        "ServiceMonitor",
        "PrometheusRule",
        "ConfigMap",
    }
    off = [f"{part}.enabled=false" for part in ("serviceMonitor", "prometheusRule", "dashboard")]
    assert not monitoring(*known, *(w for o in off for w in ("--set", o)))
    (forced,) = monitoring("--set", "prometheusRule.enabled=true")
    assert forced["kind"] == "PrometheusRule"


def test_the_monitor_finds_the_controllers_service_and_no_other() -> None:
    """It selects exactly one Service, by labels that the chart gives it, and a port that it has;
    `instance` stays an instance of Memgraph."""
    found = [o for o in yaml.safe_load_all(rendered("serviceMonitor.enabled=true")) if o]
    (monitor,) = [o for o in found if o["kind"] == "ServiceMonitor"]
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    services = [o for o in found if o["kind"] == "Service"]
    (service,) = [o for o in services if wanted <= o["metadata"]["labels"].items()]
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["port"] in {p["name"] for p in service["spec"]["ports"]}
    assert endpoint["honorLabels"] is True
    # the Service's name becomes the label `job`, by which the alerts find their series
    assert f'namespace="default",job="{service["metadata"]["name"]}"' == MATCHERS
