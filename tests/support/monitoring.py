"""What the alert rules and the dashboard ask of Prometheus, parsed as Prometheus would."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import promql_parser
import yaml
from promql_parser import AggregateExpr, Expr, MatchOp, VectorSelector

FOLDER = Path(__file__).parents[2] / "deployments" / "monitoring"
ALERTS = FOLDER / "alerts.yaml"
DASHBOARD = FOLDER / "dashboard.json"
JOB = "facepass"
ADDED = {"job", "instance"}  # by Prometheus, to all that it scrapes


@dataclass(frozen=True)
class Asked:
    """One expression: the metrics that it selects, what it groups by, and the words it shows."""

    expression: str
    shown: str
    selectors: list[VectorSelector] = field(default_factory=list)
    groups: set[str] = field(default_factory=set)

    @property
    def labels(self) -> set[str]:
        """The labels that its words name."""
        words = re.sub(r"\$labels\.", "", self.shown)
        return set(re.findall(r"\{\{ ?([a-z_]+) ?\}\}", words))


def parse(expression: str, shown: str) -> Asked:
    """An expression of which every part is known. Raises ValueError for what is no PromQL."""
    asked = Asked(expression, shown)

    def visit(part: Expr) -> bool:
        if isinstance(part, VectorSelector):
            asked.selectors.append(part)
        if isinstance(part, AggregateExpr) and part.modifier is not None:
            asked.groups.update(part.modifier.labels)
        return True

    promql_parser.walk(promql_parser.parse(expression), visit)
    return asked


def read_rules() -> list[dict[str, Any]]:
    """The alert rules."""
    groups = yaml.safe_load(ALERTS.read_text("utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def read_panels() -> list[dict[str, Any]]:
    """The dashboard's panels, without the rows that head them."""
    panels = json.loads(DASHBOARD.read_text("utf-8"))["panels"]
    return [panel for panel in panels if panel["type"] != "row"]


def list_asked() -> Iterator[Asked]:
    """All expressions of both files."""
    for rule in read_rules():
        yield parse(rule["expr"], rule["annotations"]["summary"])
    for panel in read_panels():
        for target in panel["targets"]:
            yield parse(target["expr"].replace("$job", JOB), target["legendFormat"])


def list_wanted_values(selector: VectorSelector) -> Iterator[tuple[str, str]]:
    """The labels that a selector wants to have a value, with each value that it takes."""
    for matcher in selector.matchers.matchers:
        if matcher.op in (MatchOp.Equal, MatchOp.Re):
            for value in matcher.value.split("|"):
                yield matcher.name, value
