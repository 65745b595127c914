"""The alert rules and the dashboard against /metrics as the registry renders it."""

import json
import re
from collections import defaultdict
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from unittest.mock import AsyncMock, Mock

import anyio
import anyio.to_thread
import pytest
import yaml
from fastapi import FastAPI
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from api.app import create_app
from api.routes.health import ReadinessCollector, ReadinessProbe
from models.queries.statistics import Statistics
from models.vocabulary import PhotoReason
from tests.support.documents import read_block
from tests.support.local_client import open_local_client
from tests.support.monitoring import (
    ADDED,
    ALERTS,
    DASHBOARD,
    FOLDER,
    JOB,
    list_asked,
    list_wanted_values,
    parse,
    read_panels,
    read_rules,
)

ROOT = Path(__file__).parents[4]
Labels = dict[str, dict[str, set[str]]]


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> FastAPI:
    """An application without a database, whose tables would hold one of everything."""
    failed = {str(reason): 1 for reason in PhotoReason}
    monkeypatch.setattr("api.metrics.open_session", nullcontext)
    monkeypatch.setattr("api.metrics.read_statistics", lambda _: Statistics(failed=failed))
    return create_app()


@pytest.fixture
def told(app: FastAPI) -> Labels:
    """Every sample's name, with its labels and the values that they have."""
    open_local_client(app).get("/health")
    hooks = app.state.uploads.metrics
    hooks.messages.labels("s3", "taken").inc()
    hooks.objects.labels("taken").inc()
    hooks.syncs.labels("started").inc()
    probe = ReadinessProbe(Mock(check_deployment=AsyncMock()))
    app.state.registry.register(ReadinessCollector(probe))

    async def render() -> bytes:
        return await anyio.to_thread.run_sync(partial(generate_latest, app.state.registry))

    found: Labels = defaultdict(lambda: defaultdict(set))
    for family in text_string_to_metric_families(anyio.run(render).decode()):
        for sample in family.samples:
            values = found[sample.name]
            for name, value in sample.labels.items():
                values[name].add(value)
    return found


def test_every_metric_label_and_value_that_is_asked_for_is_told(told: Labels, app: FastAPI) -> None:
    routes = {*app.openapi()["paths"]}
    seen = set()
    for asked in list_asked():
        known = set(ADDED)
        for selector in asked.selectors:
            name = str(selector.name)
            if name == "up":  # Prometheus's own: whether it could scrape
                continue
            assert name in told, asked.expression
            seen.add(name)
            labels = told[name]
            known |= {*labels}
            for matcher in selector.matchers.matchers:
                assert matcher.name in {*labels, *ADDED}, asked.expression
            for label, value in list_wanted_values(selector):
                if label == "job":
                    assert value == JOB
                elif label == "route":
                    assert value in routes, asked.expression
                elif not name.startswith("facepass_http_"):  # what calls have come is chance
                    assert value in labels[label], asked.expression
        assert asked.groups <= known, asked.expression
        assert asked.labels - {"value"} <= asked.groups | ADDED, asked.shown
    own = {name for name in told if name.startswith("facepass_")}
    # Nothing that is told has no place on the dashboard; a histogram is shown by its buckets.
    unseen = {name for name in own - seen if not name.endswith(("_created", "_sum", "_count"))}
    assert unseen == set()


def test_what_is_no_promql_is_told() -> None:
    with pytest.raises(ValueError, match="invalid promql"):
        parse("max(facepass_faces) >", "")


def test_each_rule_says_what_to_do_and_where_it_is_described() -> None:
    operations = (ROOT / "docs" / "operations.md").read_text("utf-8")
    headings = set(re.findall(r"^#+ (.+)$", operations, re.MULTILINE))
    rules = read_rules()
    assert len({rule["alert"] for rule in rules}) == len(rules) >= 12
    for rule in rules:
        assert set(rule) <= {"alert", "expr", "for", "labels", "annotations"}
        assert rule["labels"]["severity"] in {"warning", "critical"}
        summary = rule["annotations"]["summary"]
        happened, _, advice = summary.partition(": ")
        assert happened, rule["alert"]
        assert len(advice) > 30, rule["alert"]
        assert advice.endswith("."), rule["alert"]
        page, _, section = rule["annotations"]["runbook"].partition(", section ")
        assert page == "docs/operations.md"
        assert section in headings, rule["alert"]


def test_what_tables_tell_is_never_added_up_over_processes() -> None:
    """Each API process tells the same tables: a bare sum would count them twice."""
    for asked in list_asked():
        for table in ("syncs", "photos", "photos_processed", "webhook_waiting", "faces"):
            assert not re.search(rf"sum(?: by \([^)]*\))? ?\(facepass_{table}\b", asked.expression)


def test_each_rule_has_a_test_in_which_it_fires() -> None:
    tests = (FOLDER / "alerts_test.yaml").read_text("utf-8")
    assert {*re.findall(r'alertname="(\w+)"', tests)} == {rule["alert"] for rule in read_rules()}
    assert yaml.safe_load(tests)["rule_files"] == [ALERTS.name]


def test_the_dashboard_shows_each_panel_once_and_says_what_it_is() -> None:
    dashboard = json.loads(DASHBOARD.read_text("utf-8"))
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        for x in range(place["x"], place["x"] + place["w"]):
            for y in range(place["y"], place["y"] + place["h"]):
                assert x < 24
                assert (x, y) not in taken, panel["title"]
                taken.add((x, y))
    for panel in read_panels():
        assert panel["description"].endswith("."), panel["title"]
        assert panel["datasource"]["uid"] == "${datasource}"
        assert all('job="$job"' in target["expr"] for target in panel["targets"])
    variables = {variable["name"] for variable in dashboard["templating"]["list"]}
    assert variables == {"datasource", "job"}


def test_the_page_loads_what_is_there() -> None:
    config = yaml.safe_load(read_block("monitoring.md", "yaml", "scrape_configs"))
    (scrape,) = config["scrape_configs"]
    assert scrape["job_name"] == JOB  # which the rules name
    assert [Path(file).name for file in config["rule_files"]] == [ALERTS.name]
    # The slowest answer there is: the parts are asked, then the tables.
    assert int(scrape["scrape_timeout"].rstrip("s")) >= 10
