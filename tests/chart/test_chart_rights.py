"""Who may do what: the operator, people, and authors of searches."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.chart.rendering import STORE, Chart, find, kinds, merged
from tests.chart.rights import Right, documented, granted

SOME = merged(STORE, {"namespaces": ["team-a", "team-b"]})


def test_the_table_of_rights_is_what_is_granted(chart: Chart) -> None:
    assert documented() == granted(chart.render(SOME))


def test_all_namespaces_get_the_same_rights_as_some(chart: Chart) -> None:
    some = granted(chart.render(SOME))
    everywhere = granted(chart.render(STORE))
    assert {right._replace(where="cluster") for right in some if right.where != "own"} | {
        right for right in some if right.where == "own"
    } == everywhere


def test_a_list_of_namespaces_gives_nothing_elsewhere(chart: Chart) -> None:
    documents = chart.render(SOME)
    places = {role["metadata"]["namespace"] for role in kinds(documents, "Role")}
    assert places == {"xnas", "team-a", "team-b"}
    cluster_wide = {right.resource for right in granted(documents) if right.where == "cluster"}
    assert cluster_wide == {
        "tokenreviews", "subjectaccessreviews", "customresourcedefinitions", "namespaces", "nodes"
    }  # fmt: skip


@pytest.mark.parametrize("source", ["secret", "certManager"])
def test_a_certificate_of_others_is_only_read(chart: Chart, source: str) -> None:
    values = merged(SOME, {"tls": {"source": source, "certManager": {"issuerRef": {"name": "authority"}}}})
    secrets = {right for right in granted(chart.render(values)) if right.resource == "secrets"}
    assert secrets == {Right("own", "", "secrets", "xnas-tls", "get")}


def test_rights_of_people_are_added_to_the_clusters_own_roles(chart: Chart) -> None:
    documents = chart.render(STORE)
    verbs: dict[str, set[str]] = {}
    for role in ("view", "edit", "admin"):
        document = find(documents, "ClusterRole", f"xnas-{role}")
        assert document["metadata"]["labels"][f"rbac.authorization.k8s.io/aggregate-to-{role}"] == "true"
        assert {group for rule in document["rules"] for group in rule["apiGroups"]} == {"xnas.dev"}
        verbs[role] = {verb for rule in document["rules"] for verb in rule["verbs"]}
        resources = {resource for rule in document["rules"] for resource in rule["resources"]}
        # Status is the operator's to write.
        assert role == "view" or "architecturesearches/status" not in resources
    assert verbs["view"] == {"get", "list", "watch"}
    assert verbs["edit"] == {"create", "update", "patch", "delete"}


def test_authors_must_be_allowed_to_create_jobs(chart: Chart) -> None:
    documents = chart.render(STORE)
    spec = find(documents, "ValidatingAdmissionPolicy", "xnas-authors")["spec"]
    assert spec["failurePolicy"] == "Fail"
    (rule,) = spec["matchConstraints"]["resourceRules"]
    assert rule["operations"] == ["CREATE", "UPDATE"]
    # Neither status nor finalizers: these are the operator's.
    assert rule["resources"] == ["architecturesearches"]
    (condition,) = spec["matchConditions"]
    assert condition["expression"] == "request.operation == 'CREATE' || object.spec != oldObject.spec"
    (validation,) = spec["validations"]
    assert validation["expression"] == (
        "authorizer.group('batch').resource('jobs').namespace(request.namespace).check('create').allowed()"
    )
    binding: Any = find(documents, "ValidatingAdmissionPolicyBinding", "xnas-authors")["spec"]
    assert binding == {"policyName": "xnas-authors", "validationActions": ["Deny"]}


def test_releases_in_two_namespaces_do_not_meet(chart: Chart) -> None:
    def cluster_wide(namespace: str) -> set[tuple[str, str]]:
        values = merged(STORE, {"priorityClass": {"create": True}})
        documents = chart.render(values, namespace=namespace)
        return {(d["kind"], d["metadata"]["name"]) for d in documents if "namespace" not in d["metadata"]}

    first, second = cluster_wide("xnas"), cluster_wide("prod")
    assert len(first) == len(second) == 8
    assert not first & second


def test_what_is_not_wanted_is_not_made(chart: Chart) -> None:
    off = {"rbac": {"create": False, "aggregateToUserRoles": False}, "admissionPolicy": {"enabled": False}}
    documents = chart.render(merged(STORE, off))
    assert not [document for document in documents if re.search("Role|Admission", document["kind"])]
