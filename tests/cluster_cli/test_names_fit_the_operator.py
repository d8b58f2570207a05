"""The command line may not import the operator; what both must call alike is compared here."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from xnas_core.cli.cluster import operator_pod, pod_logs, tokens
from xnas_core.cli.cluster.operator_pod import OperatorPod
from xnas_operator import lease_label
from xnas_operator.auth import tokens as operator_tokens
from xnas_operator.manifests import names, pod

CHART = Path(__file__).parents[2] / "charts" / "xnas" / "templates"
DOCS = Path(__file__).parents[2] / "docs"


def test_labels_containers_and_audience() -> None:
    assert f"{lease_label.ACTIVE_LABEL}=true" == operator_pod.ACTIVE
    assert names.selector() == operator_pod._OURS
    assert pod.CA_KEY == operator_pod._CA
    assert (names.UID_LABEL, names.CONTAINER) == (pod_logs.UID_LABEL, pod_logs.CONTAINER)
    assert operator_tokens.AUDIENCE == tokens.AUDIENCE


def test_the_chart_names_port_and_settings_as_they_are_looked_for() -> None:
    deployment = (CHART / "deployment.yaml").read_text()
    assert "{name: grpc, containerPort: {{ int .Values.grpc.port }}, protocol: TCP}" in deployment
    assert 'configMap: {name: {{ include "xnas.operatorName" . }}}' in deployment
    helpers = (CHART / "_helpers.tpl").read_text()
    assert '{{ include "xnas.fullname" . }}-operator' in helpers
    assert 'name: {{ include "xnas.fullname" . }}\n' in (CHART / "services.yaml").read_text()
    assert '(printf "%s-tls" (include "xnas.fullname" .))' in helpers
    assert OperatorPod("ns", "p", 1, "xnas").server_name == "xnas.ns.svc"


def test_the_role_on_the_page_has_the_rights_that_are_used() -> None:
    text = re.search(r"```yaml\n(.*?)```", (DOCS / "cluster-commands.md").read_text(), re.DOTALL)
    assert text is not None
    role, binding = yaml.safe_load_all(text[1])
    rights = {(resource, verb) for rule in role["rules"] for resource in rule["resources"] for verb in rule["verbs"]}
    assert rights == {("pods", "list"), ("pods/portforward", "get"), ("pods/portforward", "create")}
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
