"""What Prometheus and Grafana are given: every name in it is one that the service exports."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

from app.metrics import Metrics
from app.settings import Settings
from tests.deploy.engine import ROOT

FOLDER = ROOT / "docker" / "observe"
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "info": ("_info",), "gauge": ("",)}
needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="there is no promtool")
SCRAPED = {"up"}  # Prometheus' own
WORDS = {"sum", "by", "rate", "increase", "histogram_quantile", "min_over_time", "or", "vector", "label_values"}
REQUESTS = 'reid_requests_total{instance="a",route="/query",status="%s"}'
STORIES = {  # what is counted from minute to minute: for fifteen all is well, then for another thirty it is not
    "ReidDown": {'up{job="reid",instance="a"}': "1x14 0x30"},
    "ReidNotReady": {REQUESTS.replace("/query", "/health/ready") % "503": "4x14 4+4x30"},
    "ReidCatalogueAway": {'reid_gallery_samples{instance="a"}': "7x14" + 31 * " NaN"},
    "ReidErrors": {REQUESTS % "200": "0+990x44", REQUESTS % "500": "0+5x14 75+20x30"},
    "ReidOverloaded": {REQUESTS % "200": "0+900x44", REQUESTS % "429": "0+10x14 150+90x30"},
    "ReidQueueNearItsBound": {
        'reid_queue_pictures{instance="a"}': "400x14 420x30",
        'reid_queue_limit_pictures{instance="a"}': "512x44",
    },
    "ReidSlow": {
        'reid_request_seconds_bucket{instance="a",route="/query",le="1.0"}': "0+100x14 1500+90x30",
        'reid_request_seconds_bucket{instance="a",route="/query",le="2.5"}': "0+100x44",
        'reid_request_seconds_bucket{instance="a",route="/query",le="+Inf"}': "0+100x44",
    },
    "ReidIndexBehind": {'reid_index_lag_changes{instance="a"}': "900 2000x3 0 2000x9 2000x30"},
    "ReidExpiryFails": {'reid_expiry_failures_total{instance="a"}': "3x14 4x30"},
    "ReidWorkerDied": {'reid_worker_deaths_total{instance="a"}': "1x14 2x30"},
    "ReidDiskFull": {
        'reid_data_free_bytes{instance="a"}': "11x14 9x30",
        'reid_data_size_bytes{instance="a"}': "100x44",
    },
    "ReidMigrationFails": {'reid_migration_failures_total{instance="a"}': "0+1x2 2x11 3+1x30"},
    "ReidDrift": {'reid_drift_psi{instance="a",reference="first"}': "0.2x14 0.3x100"},
    "ReidUnlikeTheCard": {'reid_drift_psi{instance="a",reference="card"}': "0.2x14 0.3x1500"},
}


def exported() -> set[str]:
    metrics = Metrics()
    return {family.name + suffix for family in metrics.registry.collect() for suffix in SUFFIXES[family.type]}


def labels() -> set[str]:
    own = [each for each in vars(Metrics()).values() if isinstance(each, MetricWrapperBase)]
    named = {label for each in own for label in each._labelnames}
    return named | {"le", "instance", "job", "version", "providers"}


def load(name: str) -> Any:  # noqa: ANN401 - whatever the file holds
    return yaml.safe_load((FOLDER / name).read_text())


def rules() -> list[Mapping[str, Any]]:
    return [rule for group in load("alerts.yml")["groups"] for rule in group["rules"]]


def dashboard() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((FOLDER / "dashboard.json").read_text())
    return loaded


def expressions() -> Iterator[str]:
    """Yield every PromQL expression of rules and dashboard."""
    yield from (rule["expr"] for rule in rules())
    for panel in dashboard()["panels"]:
        yield from (target["expr"] for target in panel["targets"])
    yield from (variable["query"]["query"] for variable in dashboard()["templating"]["list"])


def names(expression: str) -> tuple[set[str], set[str]]:
    """Return the metrics and the labels that an expression names."""
    bare = re.sub(r'"[^"]*"', "", expression)
    inside = re.findall(r"\{([^}]*)\}|\bby \(([^)]*)\)", bare)
    used = {label for each in inside for label in re.findall(r"[a-z_]+", " ".join(each))}
    outside = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\bby \([^)]*\)|, instance\)", " ", bare)
    return set(re.findall(r"[a-z_][a-z_0-9]*", outside)) - WORDS, used


def test_every_name_is_exported() -> None:
    found = list(expressions())
    assert len(found) > 25
    for expression in found:
        metrics, used = names(expression)
        assert metrics, expression
        assert metrics <= exported() | SCRAPED, expression
        assert used <= labels(), expression


def test_every_metric_of_the_service_is_shown() -> None:
    shown = {name for expression in expressions() for name in names(expression)[0]}
    own = {family.name for family in Metrics().registry.collect() if family.name.startswith("reid_")}
    assert own == {name for name in own if any(each.startswith(name) for each in shown)}


def test_rules_are_whole() -> None:
    assert {rule["alert"] for rule in rules()} == set(STORIES)
    for rule in rules():
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert {"summary", "description"} <= set(rule["annotations"])
        for opening, closing in ("()", "[]", "{}"):
            assert rule["expr"].count(opening) == rule["expr"].count(closing)


def test_a_drain_of_a_minute_is_no_alert() -> None:
    """While a service drains /health/ready is 503 too, and its last one counts until it is out of the window."""
    [rule] = [rule for rule in rules() if rule["alert"] == "ReidNotReady"]
    [window] = re.findall(r"\[(\d+)m\]", rule["expr"])
    scrapes = 2 * int(load("prometheus.yml")["global"]["scrape_interval"].removesuffix("s"))
    assert 60 * int(rule["for"].removesuffix("m")) >= 60 + 60 * int(window) + scrapes


def promtool(*arguments: object) -> None:
    done = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_promtool_takes_them() -> None:
    promtool("check", "rules", FOLDER / "alerts.yml")
    promtool("check", "config", "--syntax-only", FOLDER / "prometheus.yml")


@needs_promtool
def test_each_alert_is_raised_by_its_own_trouble_and_by_no_other(tmp_path: Path) -> None:
    """Minute 14 is the last good one; a story ends when its rule has waited long enough."""
    stories = []
    for alert, told in STORIES.items():
        last = {"ReidDrift": "110m", "ReidUnlikeTheCard": "1510m"}.get(alert, "42m")
        stories.append(
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in told.items()],
                "promql_expr_test": [
                    {"expr": "count(ALERTS) or vector(0)", "eval_time": "14m", "exp_samples": [{"value": 0}]},
                    {
                        "expr": 'count by (alertname) (ALERTS{alertstate="firing"})',
                        "eval_time": last,
                        "exp_samples": [{"labels": f'{{alertname="{alert}"}}', "value": 1}],
                    },
                ],
            }
        )
    (tmp_path / "stories.yml").write_text(json.dumps({"rule_files": [str(FOLDER / "alerts.yml")], "tests": stories}))
    promtool("test", "rules", tmp_path / "stories.yml")


@needs_promtool
def test_prometheus_understands_every_panel(tmp_path: Path) -> None:
    asked = [target["expr"] for panel in dashboard()["panels"] for target in panel["targets"]]
    plain = [re.sub(r"\$__\w+", "5m", each) for each in asked]
    nothing = [{"expr": f"({each}) unless ({each})", "eval_time": "1m", "exp_samples": []} for each in plain]
    (tmp_path / "panels.yml").write_text(json.dumps({"tests": [{"interval": "1m", "promql_expr_test": nothing}]}))
    promtool("test", "rules", tmp_path / "panels.yml")


def test_panels_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in dashboard()["panels"]:
        at = panel["gridPos"]
        cells = {(at["x"] + x, at["y"] + y) for x in range(at["w"]) for y in range(at["h"])}
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells


def test_compose_mounts_what_is_there_and_pins_its_images() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    for name in ("prometheus", "grafana"):
        assert services[name]["profiles"] == ["observe"]
        assert re.fullmatch(r"[a-z/]+:v?\d+\.\d+\.\d+", services[name]["image"])
        for volume in services[name]["volumes"]:
            if volume.startswith("./"):
                assert (ROOT / volume.split(":")[0]).exists(), volume
    assert load("provisioning/datasources/prometheus.yml")["datasources"][0]["uid"] == "prometheus"
    assert {panel["datasource"]["uid"] for panel in dashboard()["panels"]} == {"prometheus"}


def test_no_log_of_a_container_grows_for_ever() -> None:
    """The driver that rotates by itself; what Docker's usual one is given would be refused by others."""
    for name, service in yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"].items():
        assert service["logging"]["driver"] == "local", name


def test_compose_passes_every_setting_on_and_the_image_can_be_made_with_it() -> None:
    service = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["reid"]
    passed = {each.partition("=")[0] for each in service["environment"]}
    within_the_image = {"REID_DATA_DIR", "REID_REGISTRY_DIR", "REID_INDEX_URL"}
    assert {each for each in passed if each.startswith("REID_")} == set(Settings().shown()) - within_the_image
    assert {"AWS_ENDPOINT_URL", "AWS_SECRET_ACCESS_KEY"} <= passed
    [argument] = service["build"]["args"]
    recipe = (ROOT / service["build"]["dockerfile"]).read_text()
    assert f"requirements/${{{argument}}}.txt" in recipe
    assert re.search(rf"^ARG {argument}=cpu$", recipe, re.MULTILINE)
    pins = (ROOT / "requirements" / "scale.txt").read_text()
    assert {"psycopg-binary", "s3fs", "faiss-cpu", "onnxruntime"} <= set(re.findall(r"^([\w-]+)==", pins, re.MULTILINE))
