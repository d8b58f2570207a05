"""What each option does."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.rendering import CHART, STORE, Chart, containers, find, kinds, merged
from tests.chart.test_chart_matrix import CASES, ENVIRON, settings

METRICS = {
    "xnas_evaluations_total": {"outcome", "namespace", "search"},
    "xnas_evaluation_seconds_bucket": {"le"},
    "xnas_queue_wait_seconds_bucket": {"le"},
    "xnas_slots": {"state"},
    "xnas_front_size": {"namespace", "search"},
    "xnas_hypervolume": {"namespace", "search"},
    "xnas_journal_seconds_bucket": {"le"},
    "xnas_store_seconds_bucket": {"le", "operation"},
    "xnas_api_errors_total": set(),
    "xnas_searches": {"state"},
}


def pod(documents: list[dict[str, Any]], name: str = "xnas-operator") -> Any:
    return find(documents, "Deployment", name)["spec"]["template"]["spec"]


def pod_annotations(chart: Chart, *layers: dict[str, Any]) -> Any:
    documents = chart.render(merged(STORE, *layers))
    return find(documents, "Deployment", "xnas-operator")["spec"]["template"]["metadata"]["annotations"]


def test_the_service_leads_to_the_active_operator_ready_or_not(chart: Chart) -> None:
    spec = find(chart.render(STORE), "Service", "xnas")["spec"]
    assert spec["selector"]["xnas.dev/active"] == "true"
    assert spec["publishNotReadyAddresses"] is True
    assert spec["ports"] == [{"name": "grpc", "port": 8443, "targetPort": "grpc", "protocol": "TCP"}]


def test_a_roll_out_keeps_the_old_operator_until_the_new_one_stands_by(chart: Chart) -> None:
    spec = find(chart.render(STORE), "Deployment", "xnas-operator")["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert "xnas.dev/active" not in spec["template"]["metadata"]["labels"]


def test_probes_ask_for_life_and_readiness(chart: Chart) -> None:
    (container,) = pod(chart.render(STORE))["containers"]
    paths = {probe: container[probe]["httpGet"]["path"] for probe in container if probe.endswith("Probe")}
    assert paths == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}


def test_a_changed_setting_restarts_the_operator_and_a_scale_does_not(chart: Chart) -> None:
    before = pod_annotations(chart)
    assert pod_annotations(chart, {"replicas": 0}) == before
    assert pod_annotations(chart, {"logLevel": "debug"})["checksum/config"] != before["checksum/config"]
    rotated = pod_annotations(chart, {"store": {"secretKey": "another"}})
    assert rotated["checksum/config"] == before["checksum/config"]
    assert rotated["checksum/store-keys"] != before["checksum/store-keys"]


def test_images_follow_the_charts_version(chart: Chart) -> None:
    version = yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"]
    (container,) = pod(chart.render(STORE))["containers"]
    assert container["image"] == f"localhost/xnas-operator:{version}"


def test_the_documented_command_installs_what_it_names(chart: Chart, tmp_path: Path) -> None:
    sets = (
        "image.repository=localhost/xnas-operator,image.tag=dev,evaluator.image.repository=localhost/xnas-evaluator,"
        "evaluator.image.tag=dev,store.endpoint=http://10.253.0.2:7070,store.bucket=xnas,store.region=us-east-1,"
        "store.accessKey=access-key-of-the-test,store.secretKey=secret-key-of-the-test"
    )
    done = chart.run(["template", "xnas", str(CHART), "-n", "xnas", "--set", sets], {})
    assert done.returncode == 0, done.stderr
    documents = [document for document in yaml.safe_load_all(done.stdout) if document]
    loaded = settings(documents, tmp_path)
    assert loaded.evaluator.image == "localhost/xnas-evaluator:dev"
    assert pod(documents)["containers"][0]["image"] == "localhost/xnas-operator:dev"
    secret = find(documents, "Secret", "xnas-store")["data"]
    assert base64.b64decode(secret["secretKey"]).decode() == ENVIRON["XNAS_S3_SECRET_KEY"]


@pytest.mark.parametrize(
    ("release", "values", "name"),
    [
        ("xnas", {}, "xnas"),
        ("prod", {}, "prod-xnas"),
        ("my-xnas", {}, "my-xnas"),
        ("x" * 50, {"fullnameOverride": "short"}, "short"),
        ("x" * 53, {}, "x" * 40),
    ],
)
def test_names_follow_from_the_release(
    chart: Chart, release: str, values: dict[str, Any], name: str, tmp_path: Path
) -> None:
    documents = chart.render(merged(STORE, values), release=release)
    assert settings(documents, tmp_path).grpc.service_name == name
    find(documents, "Service", name)
    assert all(len(document["metadata"]["name"]) <= 63 for document in documents)


def test_a_secret_of_ones_own_is_used_by_its_keys(chart: Chart) -> None:
    keys = {"accessKey": "AWS_ACCESS_KEY_ID", "secretKey": "AWS_SECRET_ACCESS_KEY"}
    store = {"endpoint": "http://a:1", "existingSecret": "mine", "existingSecretKeys": keys}
    documents = chart.render({"store": store})
    assert kinds(documents, "Secret") == []
    references = [
        entry["valueFrom"]["secretKeyRef"]
        for entry in pod(documents)["containers"][0]["env"]
        if "secretKeyRef" in entry["valueFrom"]
    ]
    assert references == [{"name": "mine", "key": key} for key in keys.values()]


def test_the_authorities_of_the_store_are_where_the_settings_say(chart: Chart, tmp_path: Path) -> None:
    documents = chart.render(CASES["https store"])
    spec = pod(documents)
    file = Path(settings(documents, tmp_path).store.tls_ca_file or "")
    for container in containers(spec):
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        assert mounts[str(file.parent)] == "store-ca"
    (volume,) = [volume for volume in spec["volumes"] if volume["name"] == "store-ca"]
    assert volume["configMap"] == {"name": "authorities", "items": [{"key": "bundle.pem", "path": file.name}]}
    environment = {entry["name"]: entry.get("value") for entry in spec["initContainers"][0]["env"]}
    assert environment["SSL_CERT_FILE"] == str(file)


@pytest.mark.parametrize(
    ("case", "there"), [("least", False), ("existing secret", False), ("https store", True), ("minio", True)]
)
def test_the_bucket_is_made_when_asked(chart: Chart, case: str, there: bool, tmp_path: Path) -> None:
    documents = chart.render(CASES[case])
    first = pod(documents).get("initContainers", [])
    assert bool(first) is there
    if there:
        environment = {entry["name"]: entry.get("value") for entry in first[0]["env"]}
        assert environment["XNAS_S3_ENDPOINT"] == settings(documents, tmp_path).store.endpoint


def test_minio_without_a_volume(chart: Chart, tmp_path: Path) -> None:
    documents = chart.render(CASES["minio"])
    assert {"name": "data", "emptyDir": {}} in pod(documents, "xnas-minio")["volumes"]
    assert kinds(documents, "PersistentVolumeClaim") == []
    assert settings(documents, tmp_path).store.endpoint == "http://xnas-minio.xnas.svc:9000"
    find(documents, "Service", "xnas-minio")
    keys = find(documents, "Secret", "xnas-store")["data"]
    assert len(base64.b64decode(keys["secretKey"])) == 40
    assert base64.b64decode(keys["accessKey"]).startswith(b"xnas-")


def test_minio_keeps_its_volume_when_the_release_goes(chart: Chart) -> None:
    documents = chart.render(CASES["minio with a volume"])
    claim = find(documents, "PersistentVolumeClaim", "xnas-minio")
    assert claim["metadata"]["annotations"] == {"helm.sh/resource-policy": "keep"}
    assert claim["spec"]["storageClassName"] == "fast"
    assert claim["spec"]["resources"] == {"requests": {"storage": "5Gi"}}
    own = chart.render(CASES["minio with a claim"])
    assert kinds(own, "PersistentVolumeClaim") == []
    assert {"name": "data", "persistentVolumeClaim": {"claimName": "mine"}} in pod(own, "xnas-minio")["volumes"]


def test_an_upgrade_of_the_chart_does_not_restart_minio(chart: Chart) -> None:
    spec = find(chart.render(CASES["minio"]), "Deployment", "xnas-minio")["spec"]
    assert spec["template"]["metadata"] == {"labels": spec["selector"]["matchLabels"]}
    assert spec["strategy"] == {"type": "Recreate"}


@pytest.mark.parametrize("address", ["", "gateway.example.org:443", "10.0.0.7:443"])
def test_cert_manager_covers_the_names_that_the_operator_would(chart: Chart, address: str, tmp_path: Path) -> None:
    documents = chart.render(merged(CASES["cert-manager"], {"grpc": {"evaluatorAddress": address}}))
    loaded = settings(documents, tmp_path)
    certificate = find(documents, "Certificate", "xnas")["spec"]
    assert tuple(certificate["dnsNames"]) == loaded.certificate_names
    assert certificate["secretName"] == loaded.tls.secret_name
    assert loaded.tls.source == "secret"
    assert (certificate["duration"], certificate["renewBefore"]) == ("8760h", "720h")
    assert certificate["issuerRef"] == {"name": "authority", "kind": "Issuer", "group": "cert-manager.io"}


@pytest.mark.parametrize(("replicas", "there"), [(1, False), (2, True)])
def test_several_operators_are_kept_apart_and_not_evicted_together(chart: Chart, replicas: int, there: bool) -> None:
    documents = chart.render(merged(STORE, {"replicas": replicas}))
    assert bool(kinds(documents, "PodDisruptionBudget")) is there
    assert ("affinity" in pod(documents)) is there


def test_priority(chart: Chart) -> None:
    assert "priorityClassName" not in pod(chart.render(STORE))
    documents = chart.render(CASES["replicas"])
    assert find(documents, "PriorityClass", "xnas")["globalDefault"] is False
    assert pod(documents)["priorityClassName"] == "xnas"


def test_the_network_of_the_operator_by_default(chart: Chart) -> None:
    spec = find(chart.render(STORE), "NetworkPolicy", "xnas-operator")["spec"]
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    assert spec["ingress"] == [
        {"ports": [{"port": 8443, "protocol": "TCP"}]},
        {"ports": [{"port": 8080, "protocol": "TCP"}], "from": [{"podSelector": {}}]},
    ]
    assert [[port["port"] for port in rule["ports"]] for rule in spec["egress"]] == [[53, 53], [443, 6443], [7070]]


def test_the_network_can_be_narrowed(chart: Chart) -> None:
    documents = chart.render(CASES["narrow network"])
    spec = find(documents, "NetworkPolicy", "xnas-operator")["spec"]
    assert spec["ingress"][0]["from"] == [{"ipBlock": {"cidr": "10.0.0.0/8"}}]
    assert [rule.get("to") for rule in spec["egress"]] == [
        None,
        [{"ipBlock": {"cidr": "10.0.0.1/32"}}],
        [{"ipBlock": {"cidr": "10.0.0.2/32"}}],
    ]
    # helm test reads /readyz.
    test_labels = find(documents, "Pod", "xnas-test")["metadata"]["labels"]
    assert any(
        peer.get("podSelector", {"matchLabels": {"": ""}})["matchLabels"].items() <= test_labels.items()
        for peer in spec["ingress"][1]["from"]
    )
    for namespace in ("team-a", "team-b"):
        evaluators = find(documents, "NetworkPolicy", "xnas-evaluators", namespace)["spec"]
        assert evaluators["ingress"] == []
        assert [rule["ports"][0]["port"] for rule in evaluators["egress"]] == [53, 8443, 7070]


@pytest.mark.parametrize(
    ("endpoint", "port"),
    [("http://s3.example.org", 80), ("https://s3.example.org", 443), ("https://10.0.0.1:9443", 9443)],
)
def test_the_stores_port_is_open(chart: Chart, endpoint: str, port: int) -> None:
    spec = find(chart.render(merged(STORE, {"store": {"endpoint": endpoint}})), "NetworkPolicy", "xnas-operator")
    assert spec["spec"]["egress"][-1]["ports"] == [{"port": port, "protocol": "TCP"}]


def test_prometheus_finds_every_operator(chart: Chart) -> None:
    documents = chart.render(CASES["monitoring"])
    spec = find(documents, "ServiceMonitor", "xnas-operator")["spec"]
    service = find(documents, "Service", "xnas-metrics")
    assert spec["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert spec["endpoints"][0]["port"] in [port["name"] for port in service["spec"]["ports"]]
    assert spec["endpoints"][0]["honorLabels"] is True
    assert "xnas.dev/active" not in service["spec"]["selector"]


def test_the_dashboard_shows_metrics_that_there_are(chart: Chart) -> None:
    document = find(chart.render(CASES["monitoring"]), "ConfigMap", "xnas-dashboard")
    assert document["metadata"]["labels"]["grafana_dashboard"] == "1"
    board = json.loads(document["data"]["xnas.json"])
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    shown = set()
    for query in queries:
        names = set(re.findall(r"xnas_[a-z_]+", query))
        shown |= names
        allowed = set().union(*(METRICS[name] for name in names))
        used = set(re.findall(r"(\w+)=~", query)) | {
            label for group in re.findall(r"by \(([^)]*)\)", query) for label in group.split(", ")
        }
        assert used <= allowed, query
    assert shown == set(METRICS)
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
    places = [tuple(panel["gridPos"].values()) for panel in board["panels"]]
    assert len(set(places)) == len(places)


def test_evaluators_get_what_the_values_say(chart: Chart, tmp_path: Path) -> None:
    loaded = settings(chart.render(CASES["evaluators"]), tmp_path)
    assert loaded.evaluator.image == "localhost/xnas-evaluator:dev"
    assert loaded.evaluator.image_pull_policy == "Never"
    assert loaded.evaluator.image_pull_secrets == ["registry"]
    assert loaded.evaluator.template["spec"]["nodeSelector"] == {"gpu": "yes"}
    assert loaded.may_read("team-a", "s3://data/a/x.npz")


def test_notes_say_the_next_command(chart: Chart) -> None:
    notes = chart.notes(STORE)
    assert "kubectl apply -f examples/quickstart.yaml" in notes
    assert "kubectl get nas -w" in notes
    assert "helm test xnas -n xnas" in notes
    assert "kubectl -n xnas rollout status deployment/xnas-operator" in notes
    assert "MinIO" not in notes
    assert "keeps nothing when its pod goes" in chart.notes(CASES["minio"])
    assert "keeps nothing" not in chart.notes(CASES["minio with a volume"])
    assert "kubectl apply -n team-a -f examples/quickstart.yaml" in chart.notes(CASES["namespaces"])
    assert "searches in team-a, team-b" in chart.notes(CASES["namespaces"])
    assert (CHART.parent.parent / "examples" / "quickstart.yaml").exists()


def test_the_resource_definition_is_installed_and_never_removed(chart: Chart) -> None:
    done = chart.run(["template", "xnas", str(CHART), "--include-crds"], STORE)
    assert done.returncode == 0, done.stderr
    definitions = [d for d in yaml.safe_load_all(done.stdout) if d and d["kind"] == "CustomResourceDefinition"]
    assert [definition["metadata"]["name"] for definition in definitions] == ["architecturesearches.xnas.dev"]
    # Only what lies in crds/ is left alone by `helm uninstall`.
    assert not kinds(chart.render(STORE), "CustomResourceDefinition")


def test_an_image_can_be_pinned_by_its_digest(chart: Chart) -> None:
    tag = f"0.1.0@sha256:{64 * 'a'}"
    documents = chart.render(merged(STORE, {"image": {"tag": tag}}))
    assert pod(documents)["containers"][0]["image"] == f"localhost/xnas-operator:{tag}"
