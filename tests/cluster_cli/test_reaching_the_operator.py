"""The way to the operator: its pod, the certificate, the token; each thing that can be wrong has its sentence."""

from __future__ import annotations

import asyncio
import base64
import ssl
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.cluster_cli.conftest import Cluster, Xnas, authority
from xnas_core.cli.cluster.tokens import AccountToken
from xnas_core.testing.certificates import Certificate, self_signed
from xnas_core.testing.fake_api import Fault, Token, User

ANN = ("--service-account", "ann")


async def _front(run: Xnas, *more: Any) -> str:
    told = await run("front", "digits", *(more or ANN))
    assert told.out == ""
    assert told.code in (1, 2)
    assert told.err.startswith("error: ")
    assert told.err.count("\n") == 1
    return told.err


@pytest.fixture
def begun(cluster: Cluster) -> Cluster:
    cluster.search().finish(6)
    return cluster


# --- the pod -------------------------------------------------------------------------------------------------------


async def test_no_operator_is_active(begun: Cluster, run: Xnas) -> None:
    begun.api.patch("pods", "xnas", "xnas-operator-1", {"metadata": {"labels": {"xnas.dev/active": None}}})
    assert "no operator is active" in await _front(run)
    begun.api.patch("pods", "xnas", "xnas-operator-1", {"metadata": {"labels": {"xnas.dev/active": "true"}}})
    begun.api.set_status("pods", "xnas", "xnas-operator-1", {"phase": "Failed"})
    assert "no operator is active in namespace xnas" in await _front(run, *ANN, "--operator-namespace", "xnas")


async def test_two_operators_are_told_apart_by_namespace(begun: Cluster, run: Xnas) -> None:
    begun.operator_pod("other-1", "default")
    assert "choose one with --operator-namespace" in await _front(run)
    assert (await run("front", "digits", *ANN, "--operator-namespace", "xnas")).code == 0


async def test_who_may_not_list_all_pods_is_led_to_the_usual_namespace(begun: Cluster, run: Xnas) -> None:
    begun.api.faults.add(Fault(code=403, verb="list", resource="pods", namespace="", times=None))
    assert (await run("front", "digits", *ANN)).code == 0
    begun.api.faults.add(Fault(code=403, verb="list", resource="pods", namespace="xnas", times=None))
    assert "--operator-namespace" in await _front(run)


async def test_the_rights_of_the_page_are_enough(begun: Cluster, run: Xnas, tmp_path: Path) -> None:
    """Of a person with the role edit in team-a, and of the page's Role in the operator's namespace."""
    allow = begun.api.identities.allow
    begun.api.identities.tokens["eve"] = Token(User("eve"))
    begun.api.kubeconfig(tmp_path / "kubeconfig", token="eve", namespace="team-a")
    allow("eve", verbs=["list"], groups=[""], resources=["pods"], namespaces=["xnas"])
    allow("eve", verbs=["get", "create"], groups=[""], resources=["pods/portforward"], namespaces=["xnas"])
    allow("eve", verbs=["create"], groups=[""], resources=["serviceaccounts/token"], namespaces=["team-a"])
    for groups, resources, verbs in (
        (["xnas.dev"], ["architecturesearches"], ["get", "list", "patch", "delete", "create"]),
        ([""], ["configmaps", "pods"], ["get", "list"]),
        ([""], ["pods/log"], ["get"]),
    ):
        allow("eve", verbs=verbs, groups=groups, resources=resources, namespaces=["team-a"])
    for command in (
        ("front", "digits", *ANN), ("list",), ("get", "digits"), ("suspend", "digits"), ("scale", "digits", "2"),
        ("logs", "digits"), ("artifacts", "digits", *ANN), ("delete", "digits"),
    ):  # fmt: skip
        told = await run(*command)
        assert told.code == 0, (command, told.err)


async def test_a_port_that_may_not_be_forwarded(begun: Cluster, run: Xnas) -> None:
    said = 'User "ann" cannot get resource "pods/portforward"'
    begun.api.faults.add(Fault(code=403, subresource="portforward", message=said, times=None))
    told = await _front(run)
    assert "does not allow it" in told
    assert said in told


async def test_a_pod_behind_whose_port_nobody_listens(begun: Cluster, run: Xnas) -> None:
    begun.api.forwards.clear()
    told = await _front(run)
    assert "xnas/xnas-operator-1 can't be reached through the cluster" in told
    assert "connection refused" in told


async def test_a_watch_goes_on_with_the_next_operator(begun: Cluster, run: Xnas) -> None:
    """The first pod's connections break, and another pod is the active operator by then."""
    growing = begun.site.memory.searches["team-a", "digits"].growing
    assert growing is not None
    watching = asyncio.ensure_future(run("watch", "digits", *ANN))
    for _ in range(1000):
        if begun.authorizer.callers:
            break
        await asyncio.sleep(0.01)
    growing.finish(4)
    begun.api.delete("pods", "xnas", "xnas-operator-1", gracePeriodSeconds=0)
    await begun.site.restart()
    begun.operator_pod("xnas-operator-2")
    begun.site.memory.searches["team-a", "digits"].feed.changed()
    growing.complete()
    told = await asyncio.wait_for(watching, 60)
    assert (told.code, told.err) == (0, "")
    assert "60 of 60 evaluations" in told.out
    assert any(request.name == "xnas-operator-2" for request in begun.api.requests)


# --- the certificate -----------------------------------------------------------------------------------------------


async def test_a_service_with_another_certificate_is_not_trusted(begun: Cluster, run: Xnas) -> None:
    begun.api.delete("configmaps", "team-a", "digits-ca")
    begun.api.create(authority(self_signed("xnas.xnas.svc").chain))
    told = await _front(run)
    assert "can't be reached through the cluster" in told
    assert "CERTIFICATE_VERIFY_FAILED" in told or "certificate" in told


async def test_a_certificate_for_another_name_is_not_trusted(begun: Cluster, run: Xnas) -> None:
    assert "can't be reached" in await _front(run, *ANN, "--server-name", "other.xnas.svc")


async def test_authorities_of_several_searches_are_put_together(
    begun: Cluster, run: Xnas, certificate: Certificate
) -> None:
    begun.api.create(authority(self_signed("old").chain + certificate.chain, "older-ca"))
    assert (await run("front", "digits", *ANN)).code == 0


async def test_the_operators_own_secret_is_the_last_resort(
    begun: Cluster, run: Xnas, certificate: Certificate, tmp_path: Path
) -> None:
    begun.api.delete("configmaps", "team-a", "digits-ca")
    told = await _front(run)
    assert "--ca-file" in told
    (tmp_path / "ca.crt").write_bytes(certificate.chain)
    assert (await run("front", "digits", *ANN, "--ca-file", "ca.crt")).code == 0
    data = {"ca.crt": base64.b64encode(certificate.chain).decode()}
    begun.api.create(
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "xnas-tls", "namespace": "xnas"}, "data": data}
    )
    assert (await run("front", "digits", *ANN)).code == 0
    assert "can't be read from nowhere" in await _front(run, *ANN, "--ca-file", "nowhere")


# --- the token -----------------------------------------------------------------------------------------------------


async def test_a_person_without_an_account_is_told_what_to_say(begun: Cluster, run: Xnas) -> None:
    told = await run("front", "digits")
    assert told.code == 2
    assert "you are 'admin'" in told.err
    assert "--service-account NAME" in told.err


async def test_a_kubeconfig_of_a_service_account_needs_nothing_more(begun: Cluster, run: Xnas, tmp_path: Path) -> None:
    user = User("system:serviceaccount:team-a:ann", ("system:masters",))
    begun.api.identities.tokens["login-of-ann"] = Token(user)
    begun.api.kubeconfig(tmp_path / "kubeconfig", token="login-of-ann", namespace="team-a")
    assert (await run("front", "digits")).code == 0
    assert set(begun.authorizer.callers) == {"system:serviceaccount:team-a:ann"}


async def test_accounts_that_are_absent_or_forbidden(begun: Cluster, run: Xnas) -> None:
    assert "kubectl create serviceaccount bob -n team-a" in await _front(run, "--service-account", "bob")
    assert "kubectl create serviceaccount bob -n xnas" in await _front(run, "--service-account", "xnas/bob")
    begun.api.faults.add(Fault(code=403, subresource="token", times=None))
    assert "create serviceaccounts/token" in await _front(run)


async def test_tokens_that_are_given(
    begun: Cluster, run: Xnas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = begun.api.issue_token("team-a", "ann")
    assert (await run("front", "digits", "--token", token)).code == 0
    (tmp_path / "token").write_text(token + "\n")
    assert (await run("front", "digits", "--token-file", "token")).code == 0
    assert "can't be read from nowhere" in await _front(run, "--token-file", "nowhere")
    monkeypatch.setenv("XNAS_TOKEN", token)
    assert (await run("front", "digits")).code == 0
    assert not any(request.subresource == "token" for request in begun.api.requests)
    monkeypatch.setenv("XNAS_TOKEN", "expired")
    assert "the token comes from --token or XNAS_TOKEN" in await _front(run, "-n", "team-a")
    assert "exclude each other" in await _front(run, "--token-file", "token")


def test_a_token_is_made_anew_before_it_ends() -> None:
    made: list[str] = []

    class Api:
        def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
            assert path == "/api/v1/namespaces/team-a/serviceaccounts/ann/token"
            assert body["spec"] == {"audiences": ["xnas"], "expirationSeconds": 3600}
            made.append(f"token-{len(made)}")
            return {"status": {"token": made[-1], "expirationTimestamp": "1970-01-01T01:00:00Z"}}

    now = [0.0]
    tokens = AccountToken(Api(), "team-a", "ann", lambda: now[0])  # type: ignore[arg-type]  # all that is asked for
    assert [tokens.current(), tokens.current()] == ["token-0", "token-0"]
    now[0] = 2879.0
    assert tokens.current() == "token-0"
    now[0] = 2881.0
    assert tokens.current() == "token-1"


# --- without a forwarded port --------------------------------------------------------------------------------------


async def test_an_address_bypasses_the_cluster(
    begun: Cluster, run: Xnas, certificate: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ca.crt").write_bytes(certificate.chain)
    token = begun.api.issue_token("team-a", "ann")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    there = ("--address", begun.site.address, "--ca-file", "ca.crt", "--server-name", "xnas.xnas.svc")
    assert (await run("front", "team-a/digits", *there, "--token", token)).code == 0
    assert begun.api.requests == []
    assert "set XNAS_TOKEN" in await _front(run, "-n", "team-a", *there)
    assert "NAMESPACE/digits" in await _front(run, *there, "--token", token)
    other = await run("front", "team-b/digits", *there, "--token", token)
    assert (other.code, "error" in other.err) == (1, True)


# --- the API server ------------------------------------------------------------------------------------------------


async def test_what_an_api_server_may_do(begun: Cluster, run: Xnas, tmp_path: Path) -> None:
    begun.api.faults.add(Fault(code=503, verb="get", resource="architecturesearches", times=2))
    assert (await run("get", "digits")).code == 0
    begun.api.faults.add(Fault(code=503, verb="get", resource="architecturesearches", times=None))
    told = await run("get", "digits")
    assert (told.code, "can't answer now (503)" in told.err) == (1, True)
    begun.api.faults.clear()
    begun.api.faults.add(Fault(lost="before", verb="patch", resource="architecturesearches", times=None))
    assert "can't be reached" in (await run("suspend", "digits")).err
    begun.api.faults.clear()
    begun.api.kubeconfig(tmp_path / "kubeconfig", token="unknown")
    assert "log in again" in (await run("list")).err
    begun.api.identities.tokens["poor"] = Token(User("poor"))
    begun.api.kubeconfig(tmp_path / "kubeconfig", token="poor")
    refused = await run("list")
    assert "does not allow it" in refused.err
    assert 'User "poor" cannot list' in refused.err


async def test_a_cluster_that_is_gone_or_silent(begun: Cluster, run: Xnas, monkeypatch: pytest.MonkeyPatch) -> None:
    from xnas_core.cli.cluster.kube import Patience

    monkeypatch.setattr("xnas_core.cli.cluster.connecting.PATIENCE", Patience(2, 0.1, tries=1))
    begun.api.faults.add(Fault(delay_s=1, verb="list", times=None))
    assert "did not answer in time" in (await run("list")).err
    await begun.api.stop()
    told = await run("list")
    assert (told.code, "can't be reached: Connection refused" in told.err) == (1, True)


async def test_a_cluster_without_xnas(begun: Cluster, run: Xnas) -> None:
    message = "the server could not find the requested resource"
    begun.api.faults.add(Fault(code=404, message=message, resource="architecturesearches", times=None))
    for command in (("list",), ("get", "digits"), ("front", "digits", *ANN)):
        assert "XNAS is not installed" in (await run(*command)).err


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "can't be used"),
        ("[]", "can't be used"),
        ("kind: Config\n", "can't be used"),
        ("current-context: x\ncontexts: []\nclusters: []\nusers: []\n", "can't be used"),
    ],
)
async def test_a_broken_kubeconfig(run: Xnas, tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "broken").write_text(text)
    told = await run("list", "--kubeconfig", "broken")
    assert (told.code, says in told.err) == (2, True), told.err
    assert "Traceback" not in told.err


async def test_a_context_that_is_not_there(run: Xnas) -> None:
    told = await run("list", "--context", "production")
    assert (told.code, "production" in told.err) == (2, True)
    told = await run("list", "--kubeconfig", "nowhere")
    assert (told.code, "there is no kubeconfig nowhere" in told.err) == (2, True)


async def test_a_certificate_of_the_cluster_that_is_not_trusted(
    run: Xnas, tmp_path: Path, certificate: Certificate
) -> None:
    (tmp_path / "key").write_bytes(certificate.key)
    (tmp_path / "chain").write_bytes(certificate.chain)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "chain", tmp_path / "key")
    server = await asyncio.start_server(lambda _r, w: w.close(), "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    other = base64.b64encode(self_signed("other").chain).decode()
    (tmp_path / "tls").write_text(
        f"""
apiVersion: v1
kind: Config
current-context: a
contexts: [{{name: a, context: {{cluster: a, user: a}}}}]
users: [{{name: a, user: {{}}}}]
clusters: [{{name: a, cluster: {{server: "https://127.0.0.1:{port}", certificate-authority-data: {other}}}}}]
"""
    )
    async with server:
        told = await run("list", "--kubeconfig", "tls")
    assert (told.code, "is not the one that the kubeconfig expects" in told.err) == (1, True), told.err


async def test_nothing_is_left_behind(
    begun: Cluster, run: Xnas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "t"))
    assert (await run("front", "digits", *ANN)).code == 0
    assert list((tmp_path / "t").iterdir()) == []
    for _ in range(100):
        left = [thread.name for thread in threading.enumerate() if "tunnel" in thread.name or "forward" in thread.name]
        if not left:
            break
        await asyncio.sleep(0.05)
    assert left == []
