"""What holds for every set of values: each option is on in one case and off in another."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from tests.chart.kubernetes_schema import CUSTOM, problems
from tests.chart.rendering import (
    ACCESS_KEY,
    CHART,
    NAMESPACE,
    SECRET_KEY,
    STORE,
    Chart,
    Document,
    containers,
    find,
    kinds,
    merged,
    pods,
)
from xnas_operator.settings import Settings, load

ENVIRON = {
    "POD_NAME": "xnas-operator-abc",
    "POD_NAMESPACE": NAMESPACE,
    "XNAS_S3_ACCESS_KEY": ACCESS_KEY,
    "XNAS_S3_SECRET_KEY": SECRET_KEY,
}
CERT_MANAGER = {"tls": {"source": "certManager", "certManager": {"issuerRef": {"name": "authority"}}}}
CASES: dict[str, dict[str, Any]] = {
    "least": STORE,
    "namespaces": merged(STORE, {"namespaces": ["team-a", "team-b"]}),
    "replicas": merged(STORE, {"replicas": 2, "priorityClass": {"create": True}}),
    "replicas without budget": merged(STORE, {"replicas": 3, "podDisruptionBudget": {"enabled": False}}),
    "existing secret": {"store": {"endpoint": "https://s3.example.org", "existingSecret": "mine"}},
    "https store": merged(
        STORE,
        {
            "store": {
                "endpoint": "https://s3.example.org",
                "externalEndpoint": "https://s3.example.com:8443",
                "prefix": "team/xnas/",
                "createBucket": True,
                "caConfigMap": {"name": "authorities", "key": "bundle.pem"},
            }
        },
    ),
    "minio": {"minio": {"enabled": True}},
    "minio with a volume": {
        "minio": {"enabled": True, "persistence": {"enabled": True, "storageClass": "fast", "size": "5Gi"}}
    },
    "minio with a claim": {
        "minio": {"enabled": True, "persistence": {"enabled": True, "existingClaim": "mine"}},
        "store": {"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY},
    },
    "cert-manager": merged(STORE, CERT_MANAGER, {"grpc": {"extraNames": ["xnas.example.org"]}}),
    "own certificate": merged(STORE, {"tls": {"source": "secret", "secretName": "mine"}}),
    "no policies": merged(
        STORE,
        {
            "networkPolicy": {"enabled": False},
            "admissionPolicy": {"enabled": False},
            "rbac": {"create": False, "aggregateToUserRoles": False},
            "serviceAccount": {"create": False, "name": "given"},
        },
    ),
    "narrow network": merged(
        STORE,
        {
            "networkPolicy": {
                "grpcFrom": [{"ipBlock": {"cidr": "10.0.0.0/8"}}],
                "metricsFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
                "apiServer": {"cidrs": ["10.0.0.1/32"], "ports": [16443]},
                "store": {"cidrs": ["10.0.0.2/32"]},
                "evaluatorNamespaces": ["team-a", "team-b"],
            }
        },
    ),
    "monitoring": merged(
        STORE,
        {
            "metrics": {
                "service": {"annotations": {"a": "b"}},
                "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
                "dashboard": {"enabled": True, "annotations": {"folder": "ML"}},
            }
        },
    ),
    "from outside": merged(
        STORE,
        {
            "service": {"type": "LoadBalancer", "loadBalancerSourceRanges": ["10.0.0.0/8"], "annotations": {"a": "b"}},
            "grpc": {"evaluatorAddress": "xnas.example.org:443", "port": 9443},
            "http": {"port": 9090},
            "networkPolicy": {"evaluatorNamespaces": ["team-a"]},
        },
    ),
    "evaluators": merged(
        STORE,
        {
            "evaluator": {
                "image": {"repository": "localhost/xnas-evaluator", "tag": "dev", "pullPolicy": "Never"},
                "imagePullSecrets": ["registry"],
                "template": {"spec": {"nodeSelector": {"gpu": "yes"}, "tolerations": [{"operator": "Exists"}]}},
            },
            "dataPrefixes": {"team-a": ["s3://data/a/", "s3://other/"]},
        },
    ),
    "pod settings": merged(
        STORE,
        {
            "image": {"repository": "localhost/xnas-operator", "tag": "dev", "pullPolicy": "Never"},
            "imagePullSecrets": ["registry"],
            "logLevel": "debug",
            "priorityClassName": "system-cluster-critical",
            "podAnnotations": {"a": "b"},
            "podLabels": {"team": "ml"},
            "nodeSelector": {"disk": "ssd"},
            "tolerations": [{"key": "a", "operator": "Exists"}],
            "affinity": {"nodeAffinity": {}},
            "topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {}}
            ],
            "extraEnv": [{"name": "HTTPS_PROXY", "value": "http://proxy:3128"}],
            "extraVolumes": [{"name": "tables", "emptyDir": {}}],
            "extraVolumeMounts": [{"name": "tables", "mountPath": "/tables"}],
            "serviceAccount": {"name": "mine", "annotations": {"role": "x"}},
            "fullnameOverride": "searches",
        },
    ),
}  # fmt: skip
every_case = pytest.mark.parametrize("values", CASES.values(), ids=CASES.keys())


def settings(documents: list[dict[str, Any]], folder: Path) -> Settings:
    """Return the operator's settings as it would read them."""
    config = next(d for d in kinds(documents, "ConfigMap") if "config.yaml" in d["data"])
    file = folder / "config.yaml"
    file.write_text(config["data"]["config.yaml"])
    return load(file, ENVIRON)


@every_case
def test_lint_is_clean(chart: Chart, values: dict[str, Any]) -> None:
    done = chart.run(["lint", "--strict", str(CHART)], values)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "[WARNING]" not in done.stdout


@every_case
def test_documents_fit_the_kubernetes_schemas(chart: Chart, values: dict[str, Any]) -> None:
    documents = chart.render(values)
    found = [problem for document in documents if document["kind"] not in CUSTOM for problem in problems(document)]
    assert found == []


@every_case
def test_each_thing_is_made_once_and_labelled(chart: Chart, values: dict[str, Any]) -> None:
    seen = set()
    for document in chart.render(values):
        metadata = document["metadata"]
        key = (document["kind"], metadata.get("namespace"), metadata["name"])
        assert key not in seen
        seen.add(key)
        labels = metadata["labels"]
        assert labels["app.kubernetes.io/name"] == "xnas"
        assert labels["app.kubernetes.io/instance"] == "xnas"
        assert labels["app.kubernetes.io/managed-by"] == "Helm"
        assert labels["app.kubernetes.io/version"]
        assert len(metadata["name"]) <= 63
        cluster_wide = document["kind"] in (
            "ClusterRole", "ClusterRoleBinding", "PriorityClass", "ValidatingAdmissionPolicy",
            "ValidatingAdmissionPolicyBinding",
        )  # fmt: skip
        assert ("namespace" in metadata) is not cluster_wide


@every_case
def test_pods_fulfil_the_restricted_standard(chart: Chart, values: dict[str, Any]) -> None:
    names = []
    for name, pod in pods(chart.render(values)):
        names.append(name)
        security = pod["securityContext"]
        assert security["runAsNonRoot"] is True
        assert security["runAsUser"] == 65532
        assert security["seccompProfile"] == {"type": "RuntimeDefault"}
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.keys()
        assert {key for volume in pod["volumes"] for key in volume} <= {
            "name", "configMap", "secret", "emptyDir", "persistentVolumeClaim",
        }  # fmt: skip
        for container in containers(pod):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]
            assert "/tmp" in [mount["mountPath"] for mount in container["volumeMounts"]]
    assert len(names) >= 2


@every_case
def test_only_the_operator_has_a_token(chart: Chart, values: dict[str, Any]) -> None:
    documents = chart.render(values)
    with_token = [name for name, pod in pods(documents) if pod["automountServiceAccountToken"]]
    operator = [name for name, pod in pods(documents) if "xnas_operator" in pod["containers"][0].get("command", [])]
    assert with_token == operator
    assert len(operator) == 1


@every_case
def test_mounts_have_volumes(chart: Chart, values: dict[str, Any]) -> None:
    for _, pod in pods(chart.render(values)):
        volumes = {volume["name"] for volume in pod["volumes"]}
        mounted = {mount["name"] for container in containers(pod) for mount in container["volumeMounts"]}
        assert mounted == volumes


@every_case
def test_secrets_are_in_secrets_only(chart: Chart, values: dict[str, Any]) -> None:
    for document in chart.render(values):
        if document["kind"] != "Secret":
            assert SECRET_KEY not in str(document)
            assert ACCESS_KEY not in str(document)
            assert base64.b64encode(SECRET_KEY.encode()).decode() not in str(document)
    assert SECRET_KEY not in chart.notes(values)


@every_case
def test_the_operator_can_read_its_settings(chart: Chart, values: dict[str, Any], tmp_path: Path) -> None:
    documents = chart.render(values)
    loaded = settings(documents, tmp_path)
    service = next(d for d in kinds(documents, "Service") if "xnas.dev/active" in d["spec"]["selector"])
    assert service["metadata"]["name"] == loaded.grpc.service_name
    pod = next(pod for _, pod in pods(documents) if pod["automountServiceAccountToken"])
    ports = {port["name"]: port["containerPort"] for port in pod["containers"][0]["ports"]}
    assert ports == {"grpc": loaded.grpc.port, "http": loaded.http.port}
    environment = {entry["name"] for entry in pod["containers"][0]["env"]}
    assert set(ENVIRON) <= environment


@every_case
def test_no_right_is_a_wildcard(chart: Chart, values: dict[str, Any]) -> None:
    for document in chart.render(values):
        for rule in document.get("rules", []) if "Role" in document["kind"] else []:
            for part in (rule["apiGroups"], rule["resources"], rule["verbs"]):
                assert part
                assert "*" not in part
            assert "impersonate" not in rule["verbs"]
            assert not {"secrets"} & set(rule["resources"]) or "list" not in rule["verbs"]


@every_case
def test_services_and_policies_select_pods(chart: Chart, values: dict[str, Any]) -> None:
    documents = chart.render(values)
    labels: list[Document] = [d["spec"]["template"]["metadata"]["labels"] for d in kinds(documents, "Deployment")]
    active = [{**pod, "xnas.dev/active": "true"} for pod in labels]
    for document in documents:
        spec = document.get("spec", {})
        if document["kind"] == "Service":
            wanted = spec["selector"]
        elif document["kind"] in ("NetworkPolicy", "PodDisruptionBudget"):
            wanted = (spec.get("podSelector") or spec["selector"])["matchLabels"]
        else:
            continue
        if wanted == {"app.kubernetes.io/name": "xnas-evaluator"}:
            continue
        assert len([pod for pod in active if wanted.items() <= pod.items()]) == 1, document["metadata"]["name"]


@every_case
def test_bindings_bind_what_is_there(chart: Chart, values: dict[str, Any]) -> None:
    documents = chart.render(values)
    account = find(documents, "Deployment", next(n for n, p in pods(documents) if p["automountServiceAccountToken"]))
    name = account["spec"]["template"]["spec"]["serviceAccountName"]
    for binding in [*kinds(documents, "RoleBinding"), *kinds(documents, "ClusterRoleBinding")]:
        reference = binding["roleRef"]
        find(documents, reference["kind"], reference["name"], binding["metadata"].get("namespace"))
        assert binding["subjects"] == [{"kind": "ServiceAccount", "name": name, "namespace": NAMESPACE}]
