"""The operator's settings: the example of the chart, every default, every kind of mistake."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from xnas_core.errors import XnasError
from xnas_operator.settings import Settings, SettingsError, load

ENVIRON = {
    "POD_NAME": "xnas-7d9f-abcde",
    "POD_NAMESPACE": "xnas",
    "XNAS_S3_ACCESS_KEY": "an-access-key",
    "XNAS_S3_SECRET_KEY": "a-secret-key",
}
LEAST: dict[str, Any] = {"store": {"endpoint": "http://10.0.0.1:9000"}, "evaluator": {"image": "registry/evaluator:1"}}
WHOLE = """
namespaces: []
leaderElection: {leaseName: xnas-operator, leaseDurationSeconds: 15, renewSeconds: 5}
grpc: {port: 8443, serviceName: xnas, evaluatorAddress: "xnas.xnas.svc:8443", extraNames: [xnas.example.org]}
http: {port: 8080}
tls: {source: selfSigned, secretName: xnas-tls, rotateBeforeDays: 30, validDays: 365}
store: {endpoint: "http://10.0.0.1:9000", externalEndpoint: null, bucket: xnas, region: us-east-1, prefix: "",
        tlsCaFile: null}
evaluator: {image: "registry/evaluator:1", imagePullPolicy: IfNotPresent, imagePullSecrets: [], drainSeconds: 30,
            heartbeatSeconds: 5, graceSeconds: 60, template: {}}
dataPrefixes: {}
logLevel: info
"""


def read(tmp_path: Path, document: Any, environ: dict[str, str] = ENVIRON) -> Settings:
    file = tmp_path / "config.yaml"
    file.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
    return load(file, environ)


def refused(tmp_path: Path, document: Any, environ: dict[str, str] = ENVIRON) -> str:
    with pytest.raises(SettingsError) as caught:
        read(tmp_path, document, environ)
    assert isinstance(caught.value, XnasError)
    assert "a-secret-key" not in str(caught.value)
    return str(caught.value)


def changed(path: str, value: Any) -> dict[str, Any]:
    """Return the least settings with one key changed."""
    document: dict[str, Any] = {key: dict(value) for key, value in LEAST.items()}
    here = document
    *parents, last = path.split(".")
    for key in parents:
        here = here.setdefault(key, {})
    here[last] = value
    return document


def test_the_whole_file_is_the_defaults(tmp_path: Path) -> None:
    whole = read(tmp_path, WHOLE)
    assert whole.grpc.extra_names == ["xnas.example.org"]
    plain = whole.model_copy(update={"grpc": whole.grpc.model_copy(update={"extra_names": []})})
    assert plain == read(tmp_path, LEAST)


def test_secrets_come_from_the_environment_and_are_never_shown(tmp_path: Path) -> None:
    loaded = read(tmp_path, LEAST)
    assert loaded.secret_key.get_secret_value() == "a-secret-key"
    assert loaded.access_key.get_secret_value() == "an-access-key"
    assert "a-secret-key" not in repr(loaded)
    assert "a-secret-key" not in str(loaded.to_document())


@pytest.mark.parametrize("variable", sorted(ENVIRON))
def test_a_variable_that_is_missing_is_named(tmp_path: Path, variable: str) -> None:
    assert variable in refused(tmp_path, LEAST, {key: value for key, value in ENVIRON.items() if key != variable})
    assert variable in refused(tmp_path, LEAST, {**ENVIRON, variable: ""})


def test_a_wrong_variable_is_named_and_not_the_file(tmp_path: Path) -> None:
    message = refused(tmp_path, LEAST, {**ENVIRON, "POD_NAMESPACE": "Not_A_Label"})
    assert message.startswith("the environment variable POD_NAMESPACE: use small letters")


def test_the_address_follows_from_service_and_namespace(tmp_path: Path) -> None:
    loaded = read(tmp_path, changed("grpc.serviceName", "searches"))
    assert loaded.grpc.evaluator_address == "searches.xnas.svc:8443"
    assert loaded.certificate_names[:4] == (
        "searches",
        "searches.xnas",
        "searches.xnas.svc",
        "searches.xnas.svc.cluster.local",
    )


def test_the_certificate_covers_what_is_dialled(tmp_path: Path) -> None:
    document = changed("grpc.evaluatorAddress", "gateway.example.org:443")
    document["grpc"]["extraNames"] = ["xnas.example.org"]
    names = read(tmp_path, document).certificate_names
    assert {"gateway.example.org", "xnas.example.org", "localhost"} < set(names)
    assert len(set(names)) == len(names)
    assert "10.0.0.7" not in read(tmp_path, changed("grpc.evaluatorAddress", "10.0.0.7:443")).certificate_names


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("store.endpont", "http://a", 'store.endpont: unknown key; did you mean "endpoint"?'),
        ("namespace", [], 'namespace: unknown key; did you mean "namespaces"?'),
        ("quux", 1, "quux: unknown key; known here: namespaces, leaderElection"),
        ("store.secretKey", "x", "set the environment variables XNAS_S3_ACCESS_KEY and XNAS_S3_SECRET_KEY"),
        ("secretKey", "x", "set the environment variable XNAS_S3_SECRET_KEY"),
        ("podName", "x", "set the environment variable POD_NAME"),
        ("grpc.port", "8443", "grpc.port: is the text"),
        ("grpc.port", 80, "grpc.port: is 80, but must be at least 1,024"),
        ("grpc.evaluatorAddress", "https://a:1", "grpc.evaluatorAddress: use HOST:PORT"),
        ("grpc.extraNames", "a.b", "grpc.extraNames: is the text"),
        ("grpc.extraNames", ["A b"], "grpc.extraNames[0]: use a DNS name"),
        ("grpc", [], "grpc: is a list, but must be a map"),
        ("http.port", 8443, "http.port and grpc.port are both 8443"),
        ("tls.source", "certManager", "tls.source: is the text"),
        ("tls.rotateBeforeDays", 365, "tls: rotateBeforeDays must be less than validDays"),
        ("leaderElection.renewSeconds", 8, "renewSeconds must be at most half"),
        ("store.endpoint", "10.0.0.1:9000", "store.endpoint: use http://HOST:PORT"),
        ("store.endpoint", "http://a/path", "store.endpoint: use http://HOST:PORT"),
        ("store.endpoint", None, "store.endpoint: is empty"),
        ("store.bucket", "A", "store.bucket: use small letters"),
        ("store.prefix", "team", "store.prefix: use names that each end"),
        ("store.prefix", "../", "store.prefix: use names that each end"),
        ("evaluator.imagePullPolicy", "Sometimes", "evaluator.imagePullPolicy: is the text"),
        ("evaluator.template", {"kind": "Pod"}, 'evaluator: template has metadata and spec, not "kind"'),
        ("evaluator.template", {"spec": []}, "evaluator: template.spec must be a map"),
        ("evaluator.drainSeconds", -1, "evaluator.drainSeconds: is -1, but must be at least 0"),
        ("logLevel", "loud", "logLevel: is the text"),
        ("dataPrefixes", {"a": ["s3://data/sets"]}, "dataPrefixes.a[0]: use s3://BUCKET/"),
        ("dataPrefixes", {"a": ["s3://data/../x/"]}, "dataPrefixes.a[0]: use s3://BUCKET/"),
        ("dataPrefixes", {"a": ["s3://xnas/searches/"]}, "data is never read from store.bucket (xnas)"),
        ("dataPrefixes", {"A_": []}, "dataPrefixes.A_"),
    ],
)
def test_each_mistake_is_a_sentence_with_the_key(tmp_path: Path, path: str, value: Any, words: str) -> None:
    message = refused(tmp_path, changed(path, value))
    assert words in message
    assert "config.yaml" in message
    assert "\n" not in message


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    message = refused(tmp_path, {"store": {}, "evaluator": {"imge": "x"}})
    assert "store.endpoint: is missing; it is required (As seen by" in message
    assert "evaluator.image: is missing" in message
    assert 'did you mean "image"?' in message


@pytest.mark.parametrize(
    "text", ["", "- a", "a: [", "1: 2", "\tx", "http: {port: 1}\nhttp: {}", "{}\n---\n{}", "a: !!x b"]
)
def test_what_is_no_map_is_refused(tmp_path: Path, text: str) -> None:
    assert "config.yaml" in refused(tmp_path, text)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent\.yaml cannot be read"):
        load(tmp_path / "absent.yaml", ENVIRON)
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(SettingsError, match="not UTF-8"):
        load(tmp_path / "binary.yaml", ENVIRON)


def test_data_is_denied_unless_mapped(tmp_path: Path) -> None:
    loaded = read(tmp_path, changed("dataPrefixes", {"team-a": ["s3://data/a/"]}))
    assert loaded.may_read("team-a", "s3://data/a/digits.npz")
    for namespace, uri in (
        ("team-b", "s3://data/a/digits.npz"),
        ("team-a", "s3://data/ab/digits.npz"),
        ("team-a", "s3://data/a/../b/digits.npz"),
        ("team-a", "s3://data/a//x"),
        ("team-a", "s3://xnas/searches/x"),
        ("team-a", "/data/a/x"),
        ("team-a", "s3://data/a/%2e%2e/b/digits.npz"),
        ("team-a", "s3://data/a/..%2fb/digits.npz"),
        ("team-a", "s3://data/a/digits.npz?prefix=b"),
        ("team-a", "s3://data/a\\..\\b.npz"),
        ("team-a", "s3://data/a/"),
        ("team-a", "s3://data/a"),
        ("team-a", "S3://data/a/digits.npz"),
    ):
        assert not loaded.may_read(namespace, uri)


def test_namespaces_that_are_watched(tmp_path: Path) -> None:
    assert read(tmp_path, LEAST).watches("anything")
    some = read(tmp_path, changed("namespaces", ["team-a"]))
    assert some.watches("team-a")
    assert not some.watches("team-b")


# Of a few characters: for all of Unicode hypothesis makes tables first, which takes seconds in a clean clone.
TEXT = st.text("aZ09 _-./:{}\"'\\\n\0äß\u2028\ud7ff\U0001f600", max_size=8)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-10, 10**6) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@given(key=st.sampled_from(sorted(yaml.safe_load(WHOLE))), value=JSON)
def test_any_value_loads_or_is_refused_as_settings(
    tmp_path_factory: pytest.TempPathFactory, key: str, value: Any
) -> None:
    folder = tmp_path_factory.mktemp("settings")
    with contextlib.suppress(SettingsError):
        read(folder, {**LEAST, key: value})
