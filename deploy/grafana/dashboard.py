"""Writes shipper.json, the Grafana dashboard, from panels.yaml beside it: python deploy/grafana/dashboard.py"""

import json
from pathlib import Path
from typing import Any

import yaml

PANELS = Path(__file__).with_name("panels.yaml")
TARGET = Path(__file__).with_name("shipper.json")
SELECTION = 'job=~"$job",instance=~"$instance"'
WIDTH, HEIGHT = 8, 7


def dashboard() -> dict[str, Any]:
    """The dashboard as Grafana (10 and later) imports it."""
    panels: list[dict[str, Any]] = []
    top = 0
    for row, members in yaml.safe_load(PANELS.read_text()).items():
        place = {"h": 1, "w": 24, "x": 0, "y": top}
        panels.append({"id": len(panels) + 1, "type": "row", "title": row, "collapsed": False, "gridPos": place})
        panels[-1]["panels"] = []
        top += 1
        for at, panel in enumerate(members):
            left, below = at % 3 * WIDTH, at // 3 * HEIGHT
            place = {"h": HEIGHT, "w": WIDTH, "x": left, "y": top + below}
            panels.append(_panel(len(panels) + 1, panel, place))
        top += -(-len(members) // 3) * HEIGHT
    return {
        "uid": "shipper",
        "title": "shipper",
        "description": "Agents and collectors of shipper: flow, backlog, losses, sinks, collectors, processes.",
        "tags": ["shipper", "logs"],
        "schemaVersion": 38,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": []},
        "links": [],
        "templating": {
            "list": [
                {"name": "datasource", "type": "datasource", "query": "prometheus", "label": "Data source", "hide": 0},
                _variable("job", "label_values(shipper_build_info, job)"),
                _variable("instance", 'label_values(shipper_build_info{job=~"$job"}, instance)'),
            ]
        },
        "panels": panels,
    }


def _panel(number: int, panel: dict[str, Any], place: dict[str, int]) -> dict[str, Any]:
    stat = panel.get("stat", False)
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if "red" in panel:
        steps.append({"color": "red", "value": panel["red"]})
    custom = {"lineWidth": 1, "fillOpacity": 10, "showPoints": "never", "spanNulls": False}
    options: dict[str, Any] = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    if stat:
        custom = {}
        options = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "colorMode": "value"}
    elif "red" in panel:
        custom["thresholdsStyle"] = {"mode": "line"}
    source = {"type": "prometheus", "uid": "${datasource}"}
    return {
        "id": number,
        "type": "stat" if stat else "timeseries",
        "title": panel["title"],
        "description": panel["shows"],
        "datasource": source,
        "gridPos": place,
        "fieldConfig": {
            "defaults": {
                "unit": panel["unit"],
                "custom": custom,
                "color": {"mode": "thresholds" if stat else "palette-classic"},
                "thresholds": {"mode": "absolute", "steps": steps},
            },
            "overrides": [],
        },
        "options": options,
        "targets": [
            {
                "refId": chr(ord("A") + at),
                "datasource": source,
                "expr": expression.replace("$on", SELECTION),
                "legendFormat": legend,
                "range": not stat,
                "instant": stat,
            }
            for at, (legend, expression) in enumerate(panel["queries"].items())
        ],
    }


def _variable(name: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "type": "query",
        "label": name.capitalize(),
        "datasource": {"type": "prometheus", "uid": "${datasource}"},
        "query": {"query": query, "refId": name},
        "definition": query,
        "refresh": 2,
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".*",
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "hide": 0,
    }


def text() -> str:
    """The file's contents."""
    return json.dumps(dashboard(), indent=2) + "\n"


if __name__ == "__main__":
    TARGET.write_text(text())
