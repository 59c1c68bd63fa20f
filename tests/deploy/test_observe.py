"""What Prometheus and Grafana are given: every name in it is one that the service exports."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml
from prometheus_client.metrics import MetricWrapperBase

from app.metrics import Metrics
from tests.deploy.engine import ROOT

FOLDER = ROOT / "docker" / "observe"
SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "info": ("_info",), "gauge": ("",)}
SCRAPED = {"up"}  # Prometheus' own
WORDS = {"sum", "by", "rate", "increase", "histogram_quantile", "min_over_time", "or", "vector", "label_values"}
ALERTS = {
    "ReidDown", "ReidNotReady", "ReidCatalogueAway", "ReidErrors", "ReidOverloaded", "ReidQueueNearItsBound",
    "ReidSlow", "ReidIndexBehind", "ReidExpiryFails", "ReidWorkerDied", "ReidDiskFull", "ReidMigrationFails",
    "ReidDrift", "ReidUnlikeTheCard",
}  # fmt: skip


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
    assert {rule["alert"] for rule in rules()} == ALERTS
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


@pytest.mark.skipif(shutil.which("promtool") is None, reason="there is no promtool")
def test_promtool_takes_them() -> None:
    subprocess.run(["promtool", "check", "rules", FOLDER / "alerts.yml"], check=True)
    subprocess.run(["promtool", "check", "config", "--syntax-only", FOLDER / "prometheus.yml"], check=True)


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


def test_the_image_can_be_made_with_what_compose_passes_on() -> None:
    service = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["reid"]
    assert {"REID_DATABASE_URL", "REID_BLOB_URL"} <= set(service["environment"])
    [argument] = service["build"]["args"]
    recipe = (ROOT / service["build"]["dockerfile"]).read_text()
    assert f"requirements/${{{argument}}}.txt" in recipe
    assert re.search(rf"^ARG {argument}=cpu$", recipe, re.MULTILINE)
    pins = (ROOT / "requirements" / "scale.txt").read_text()
    assert {"psycopg-binary", "s3fs", "faiss-cpu", "onnxruntime"} <= set(re.findall(r"^([\w-]+)==", pins, re.MULTILINE))
