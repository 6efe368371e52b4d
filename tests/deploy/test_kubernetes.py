"""What the chart makes is what Kubernetes understands, can be run as it says, and carries configs that are right.

The output is committed. ``.ci/run`` renders it again with helm and fails when it is stale, so these tests need none.
"""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate  # type: ignore[import-untyped]
import pytest
import yaml
from support.processes import Node
from support.unit import ROOT

from shipper.config import load

FOLDER = ROOT / "deploy" / "kubernetes"
CASES = ROOT / "tests" / "deploy" / "charts"
RENDERED = [FOLDER / "shipper.yaml", *sorted(CASES.glob("*.rendered.yaml"))]
VERSIONS = ["1.29", "1.34"]
"""The oldest and the newest Kubernetes that is looked at."""

Manifest = dict[str, Any]


def manifests(path: Path) -> list[Manifest]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def of_kind(path: Path, *kinds: str) -> list[Manifest]:
    return [manifest for manifest in manifests(path) if manifest["kind"] in kinds]


def pods(path: Path) -> list[Manifest]:
    return [workload["spec"]["template"] for workload in of_kind(path, "DaemonSet", "StatefulSet")]


@pytest.fixture(params=RENDERED, ids=lambda path: path.name)
def rendered(request: pytest.FixtureRequest) -> Path:
    path: Path = request.param
    return path


@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_knows_every_field(rendered: Path, version: str) -> None:
    """The schemas are strict: a misspelt field is an error."""
    for manifest in manifests(rendered):
        kubernetes_validate.validate(manifest, version, strict=True)


def test_a_misspelt_field_would_be_found() -> None:
    [agent] = of_kind(FOLDER / "shipper.yaml", "DaemonSet")
    agent["spec"]["template"]["spec"]["tolerationz"] = []
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(agent, VERSIONS[-1], strict=True)


def test_all_parts_are_there_once() -> None:
    names = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests(FOLDER / "shipper.yaml")]
    assert sorted(names) == [
        ("ConfigMap", "shipper-agent"),
        ("ConfigMap", "shipper-collector"),
        ("DaemonSet", "shipper-agent"),
        ("NetworkPolicy", "shipper-collector"),
        ("PodDisruptionBudget", "shipper-collector"),
        ("Service", "shipper-collector"),
        ("ServiceAccount", "shipper-agent"),
        ("ServiceAccount", "shipper-collector"),
        ("StatefulSet", "shipper-collector"),
    ]


def test_the_configs_are_right(rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODE_NAME", "node-1")
    monkeypatch.setenv("COLLECTOR", "shipper_shipper-collector")
    monkeypatch.setenv("SHIPPER_TOKEN", "secret")
    tokens = [sys.executable, "-m", "shipper", "tokens", "add", "--file", str(tmp_path / "tokens"), "node-1"]
    subprocess.run(tokens, check=True, capture_output=True)
    certificate = (
        f"openssl req -x509 -newkey ed25519 -nodes -subj /CN=c -keyout {tmp_path}/tls.key -out {tmp_path}/tls.crt"
    )
    subprocess.run(certificate.split(), check=True, capture_output=True)
    for manifest in of_kind(rendered, "ConfigMap"):
        for name, text in manifest["data"].items():
            (tmp_path / name).write_text(text.replace("/etc/shipper-tls", str(tmp_path)))
            load([tmp_path / name])


def test_a_selector_selects_the_pods_of_its_own_part_alone(rendered: Path) -> None:
    labels = [pod["metadata"]["labels"] for pod in pods(rendered)]
    for manifest in of_kind(rendered, "DaemonSet", "StatefulSet", "Service", "PodDisruptionBudget", "NetworkPolicy"):
        spec = manifest["spec"]
        selector = spec.get("podSelector") or spec["selector"]
        wanted = selector.get("matchLabels", selector).items()
        assert sum(wanted <= label.items() for label in labels) == 1


def test_no_pod_has_more_rights_than_it_needs(rendered: Path) -> None:
    """Nobody talks to the API of Kubernetes; the root of the file system is read-only; no capability is left."""
    for manifest in of_kind(rendered, "ServiceAccount"):
        assert manifest["automountServiceAccountToken"] is False
    for pod in pods(rendered):
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"]
            assert not security["allowPrivilegeEscalation"]
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert set(container["resources"]) == {"requests", "limits"}
        assert spec["securityContext"]["runAsNonRoot"] == (spec["securityContext"]["runAsUser"] != 0)


def test_probes_and_ports_point_at_what_the_config_opens(rendered: Path) -> None:
    configs = {
        c["metadata"]["name"]: yaml.safe_load(next(iter(c["data"].values()))) for c in of_kind(rendered, "ConfigMap")
    }
    for workload in of_kind(rendered, "DaemonSet", "StatefulSet"):
        [container] = workload["spec"]["template"]["spec"]["containers"]
        config = configs[workload["metadata"]["name"]]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert config["admin"]["listen"] == f"0.0.0.0:{ports['admin']}"
        if "ingest" in ports:
            assert config["sources"]["agents"]["listen"] == f"0.0.0.0:{ports['ingest']}"
        assert {container[p]["httpGet"]["path"] for p in ("startupProbe", "livenessProbe")} == {"/healthz"}
        assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "admin"}


def test_the_agents_reach_the_pods_that_the_stateful_set_makes() -> None:
    [agent, _] = of_kind(FOLDER / "shipper.yaml", "ConfigMap")
    [collector] = of_kind(FOLDER / "shipper.yaml", "StatefulSet")
    addresses = yaml.safe_load(agent["data"]["agent.yaml"])["sinks"]["central"]["addresses"]
    name, service = collector["metadata"]["name"], collector["spec"]["serviceName"]
    assert addresses == [f"{name}-{n}.{service}.shipper.svc:7420" for n in range(collector["spec"]["replicas"])]


def test_a_changed_config_rolls_the_pods(rendered: Path) -> None:
    sums = [pod["metadata"]["annotations"]["checksum/config"] for pod in pods(rendered)]
    assert len(set(sums)) == len(sums)
    assert all(re.fullmatch(r"[0-9a-f]{64}", checksum) for checksum in sums)


@pytest.mark.parametrize(
    "wrong",
    [
        "collectr: {}",
        "collector: {replicas: 0}",
        "agent: {logPath: logs}",
        "collector: {runAsUser: 0}",
        "image: {tag: 1}",
    ],
)
def test_wrong_values_are_refused_by_the_charts_schema(wrong: str) -> None:
    schema = yaml.safe_load((FOLDER / "chart" / "values.schema.json").read_text())
    jsonschema.validate(yaml.safe_load((FOLDER / "chart" / "values.yaml").read_text()), schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(wrong), schema)


def test_an_agents_pod_delivers_what_container_logs_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The agent's config as it is, with folders of this test in the place of the volumes. What the collector logs is
    not read: it prints what arrives, so each line would come back for ever.
    """
    [agent] = of_kind(FOLDER / "shipper.yaml", "DaemonSet")
    for variable in agent["spec"]["template"]["spec"]["containers"][0]["env"]:
        monkeypatch.setenv(variable["name"], variable.get("value", "node-1"))
    [collector] = of_kind(FOLDER / "shipper.yaml", "StatefulSet")
    config = of_kind(FOLDER / "shipper.yaml", "ConfigMap")[0]["data"]["agent.yaml"]
    made = yaml.safe_load(config.replace("/var/log/pods", str(tmp_path / "pods")))
    made |= {"sinks": {"out": {"type": "file", "path": str(tmp_path / "out")}}, "data_dir": str(tmp_path / "data")}
    made["admin"]["listen"] = "127.0.0.1:0"
    folder = tmp_path / "pods" / "shop_web-1_uid" / "web"
    folder.mkdir(parents=True)
    (folder / "0.log").write_text("2026-11-21T07:00:00.000000000Z stdout F hello\n")
    of = collector["metadata"]
    echo = tmp_path / "pods" / f"{of['namespace']}_{of['name']}-0_uid" / "collector"
    echo.mkdir(parents=True)
    (echo / "0.log").write_text("2026-11-21T07:00:00.000000000Z stdout F an echo\n")
    node = Node(tmp_path, "agent", yaml.safe_dump(made))
    node.start("--once")
    assert node.wait() == 0, node.output()
    record = yaml.safe_load((tmp_path / "out").read_text())
    assert (record["host"], record["message"], record["stream"]) == ("node-1", "hello", "stdout")
    assert (record["namespace"], record["pod"], record["container"]) == ("shop", "web-1", "web")
