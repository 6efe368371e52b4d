"""The alert rules and the dashboard's queries, judged by Prometheus itself: it scrapes a real agent and collector."""

import json
import re
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.processes import Node, free_port, wait_for

from shipper.metric_table import BLOCKS, TABLE

DEPLOY = Path(__file__).parents[2] / "deploy"
RULES = DEPLOY / "prometheus" / "rules.yaml"
ALERTS = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
QUERIES = [
    target["expr"]
    for panel in json.loads((DEPLOY / "grafana" / "shipper.json").read_text())["panels"]
    for target in panel.get("targets", [])
]
NAME = re.compile(r"\b(?:shipper|process)_[a-z_]+\b")


def fetch(url: str) -> str:
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - a page of our own processes
        return str(answer.read().decode())


class Watched:
    """An agent, its collector, and a Prometheus that scrapes both every second, with the rules loaded."""

    def __init__(self, folder: Path) -> None:
        self.wire, self.prometheus, *self.admins = (free_port() for _ in range(4))
        self._folder = folder
        (folder / "logs").mkdir()
        self.agent = Node(
            folder,
            "agent",
            f"data_dir: {folder}/agent\n"
            f"sources: {{app: {{type: file, include: ['{folder}/logs/*.log'], processors: [parse_json]}}}}\n"
            f"sinks: {{central: {{type: grpc, addresses: ['127.0.0.1:{self.wire}']}}}}\n"
            f"admin: {{listen: '127.0.0.1:{self.admins[0]}'}}\n",
        )
        self.collector = Node(
            folder,
            "collector",
            f"data_dir: {folder}/collector\n"
            f"sources: {{edge: {{type: grpc, listen: '127.0.0.1:{self.wire}'}}}}\n"
            f"sinks: {{archive: {{type: file, path: '{folder}/out.ndjson'}}}}\n"
            f"admin: {{listen: '127.0.0.1:{self.admins[1]}'}}\n",
        )
        config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yaml").read_text())
        config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config["rule_files"] = [str(RULES)]
        config["scrape_configs"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{port}" for port in self.admins]
        (folder / "prometheus.yaml").write_text(json.dumps(config))

    def start(self) -> "subprocess.Popen[bytes]":
        """Everything; returns Prometheus, which has scraped lines that went all the way."""
        self.collector.start()
        self.agent.start()
        with (self._folder / "prometheus.log").open("wb") as log:
            process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={self._folder}/prometheus.yaml",
                    f"--storage.tsdb.path={self._folder}/tsdb",
                    f"--web.listen-address=127.0.0.1:{self.prometheus}",
                ],
                stdout=log,
                stderr=log,
            )
        with (self._folder / "logs" / "a.log").open("a") as lines:
            lines.write('{"level":"info"}\n' * 90 + "not JSON\n" * 10)
        arrived = 'shipper_sink_acked_total{sink=~"central|archive"} >= 100 and on (instance) shipper_ready == 1'
        wait_for(lambda: self._count(arrived) == 2, "the lines in Prometheus")
        return process

    def _count(self, expression: str) -> int:
        try:
            return len(self.query(expression))
        except OSError:
            return 0

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What Prometheus answers; fails when it does not understand."""
        what = urllib.parse.urlencode({"query": expression})
        answer = json.loads(fetch(f"http://127.0.0.1:{self.prometheus}/api/v1/query?{what}"))
        assert answer["status"] == "success", answer
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def page(self, at: int) -> str:
        return fetch(f"http://127.0.0.1:{self.admins[at]}/metrics")


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    watched = Watched(tmp_path_factory.mktemp("watched"))
    process = None
    try:
        process = watched.start()
        yield watched
    finally:
        if process is not None:
            process.terminate()
            process.wait()
        for node in (watched.agent, watched.collector):
            if node.running:
                node.stop()


def promtool(*arguments: str, page: str | None = None) -> str:
    done = subprocess.run(["promtool", *arguments], input=page, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_rules_and_the_example_config_are_valid() -> None:
    promtool("check", "rules", str(RULES))
    promtool("check", "config", str(DEPLOY / "prometheus" / "prometheus.yaml"))


def test_the_rules_do_what_their_own_tests_say() -> None:
    promtool("test", "rules", str(DEPLOY / "prometheus" / "rules.test.yaml"))


@pytest.mark.parametrize("alert", [rule["alert"] for rule in ALERTS])
def test_every_alert_has_a_test_in_which_it_fires(alert: str) -> None:
    tests = yaml.safe_load((DEPLOY / "prometheus" / "rules.test.yaml").read_text())["tests"]
    expected = [
        sample["labels"] for test in tests for one in test["promql_expr_test"] for sample in one.get("exp_samples", [])
    ]
    assert any(f'alertname="{alert}"' in labels for labels in expected)


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_every_alert_says_what_happened_and_what_to_do(rule: dict[str, Any]) -> None:
    assert rule["annotations"].keys() == {"summary", "action"}
    assert "{{ $labels.instance }}" in rule["annotations"]["summary"]
    assert rule["labels"]["severity"] in {"critical", "warning", "info"}


def test_the_guide_lists_the_alerts() -> None:
    guide = (DEPLOY.parent / "docs" / "guide" / "operations.md").read_text()
    for rule in ALERTS:
        expression = " ".join(rule["expr"].split())
        duration = f" for {rule['for']}" if "for" in rule else ""
        assert f"| {rule['alert']} | `{expression}`{duration} | {rule['labels']['severity']} |" in guide
    assert re.findall(r"^\| (Shipper\w+) ", guide, re.MULTILINE) == [rule["alert"] for rule in ALERTS]


@pytest.mark.parametrize("expression", [*QUERIES, *(rule["expr"] for rule in ALERTS)])
def test_every_metric_in_a_query_or_rule_is_one_of_shipper(expression: str) -> None:
    names = NAME.findall(expression)
    assert names or expression.startswith("up{")
    for name in names:
        assert name in TABLE or TABLE[name.removesuffix("_bucket")].kind == "histogram"


@pytest.mark.parametrize("at", [0, 1], ids=["agent", "collector"])
def test_promtool_has_nothing_to_say_against_the_pages(watched: Watched, at: int) -> None:
    assert promtool("check", "metrics", page=watched.page(at)) == ""


def test_prometheus_understands_every_query_of_the_dashboard(watched: Watched) -> None:
    for query in QUERIES:
        variables = {"$job": "shipper", "$instance": ".*", "$__rate_interval": "1m", "$__range": "1h"}
        for name, value in variables.items():
            query = query.replace(name, value)  # noqa: PLW2901
        watched.query(query)


def test_prometheus_evaluates_every_rule(watched: Watched) -> None:
    def evaluated() -> bool:
        answer = json.loads(fetch(f"http://127.0.0.1:{watched.prometheus}/api/v1/rules"))
        rules = answer["data"]["groups"][0]["rules"]
        assert [rule["name"] for rule in rules] == [rule["alert"] for rule in ALERTS]
        assert all(rule["health"] != "err" for rule in rules), rules
        return all(rule["health"] == "ok" for rule in rules)

    wait_for(evaluated, "every rule to be evaluated")
    assert watched.query('ALERTS{alertstate="firing"}') == []


def test_what_an_operator_asks_first_is_answered(watched: Watched) -> None:
    """Lag, age, time to full and to drain, what blocks, errors that were kept, and the process: of both."""

    def shown(expression: str, expected: list[str]) -> None:
        """Wait for these values. A scrape that takes longer than its second makes all series of its instance go."""
        wait_for(
            lambda: [row["value"][1] for row in watched.query(expression)] == expected,
            lambda: f"{expression}: {watched.query(expression)}",
        )

    shown("shipper_ready", ["1", "1"])
    scraped = {row["metric"]["instance"] for row in watched.query("up")}
    assert scraped == {f"127.0.0.1:{port}" for port in watched.admins}
    for expression, expected in {
        "shipper_source_lag_bytes": ["0"],
        "shipper_sink_oldest_unacked_seconds": ["0", "0"],
        "shipper_sink_drained_in_seconds": ["0", "0"],
        "shipper_spool_full_in_seconds": ["+Inf", "+Inf"],
        'shipper_parse_errors_total{source="app",processor="parse_json"}': ["10"],
        "shipper_source_problems": ["0", "0"],
        "shipper_spool_blocked": ["0"] * 2 * len(BLOCKS),
    }.items():
        shown(expression, expected)
    shown("process_resident_memory_bytes{job='shipper'} > bool 1e7", ["1", "1"])
    status = json.loads(fetch(f"http://127.0.0.1:{watched.admins[0]}/status"))
    assert status["spool"]["blocked_by"] is status["spool"]["full_in_seconds"] is None
    assert status["sinks"]["central"]["drained_in_seconds"] == 0


def test_the_ci_machine_has_the_tools() -> None:
    """.ci/run installs them; the README names them."""
    assert sys.platform == "linux"
    assert promtool("--version").startswith("promtool, version")
