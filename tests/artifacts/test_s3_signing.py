"""Presigned URLs and TLS: whom a store is trusted as, and that signing needs no network."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from urllib3.exceptions import SSLError

from xnas_core.artifacts.s3 import S3Store
from xnas_core.artifacts.s3_settings import S3Settings
from xnas_core.artifacts.s3_signing import Signer
from xnas_core.artifacts.transport import Transport
from xnas_core.dispatch.grants import S3Grants
from xnas_core.errors import InvalidInputError, StoreError
from xnas_core.testing.fake_s3 import QUICK

SETTINGS = S3Settings(
    "http://minio.store:9000",
    "bucket",
    "access",
    "secret",
    external_endpoint="https://s3.example.org",
    prefix="searches/ns/name/uid",
)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("signing used the network")

    monkeypatch.setattr("socket.socket.connect", refuse)
    monkeypatch.setattr("socket.getaddrinfo", refuse)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(("outside", "host"), [(False, "http://minio.store:9000/"), (True, "https://s3.example.org/")])
@pytest.mark.parametrize("write", [False, True])
def test_a_grant_is_a_short_lived_url_of_the_endpoint_asked_for(outside: bool, host: str, write: bool) -> None:
    grant = S3Grants(SETTINGS, seconds=300).grant("candidates/c1/evaluate-1/x", write=write, outside=outside)
    assert grant.path is None
    assert grant.url is not None
    assert grant.url.startswith(f"{host}bucket/searches/ns/name/uid/candidates/c1/evaluate-1/x?")
    query = parse_qs(urlsplit(grant.url).query)
    assert query["X-Amz-Expires"] == ["300"]
    assert "secret" not in grant.url


def test_a_store_with_one_address_has_it_outside_too() -> None:
    grant = S3Grants(S3Settings("http://host", "bucket", "a", "s")).grant("x", write=False, outside=True)
    assert grant.url is not None
    assert grant.url.startswith("http://host/bucket/x?")


def test_what_cannot_be_granted() -> None:
    with pytest.raises(InvalidInputError, match="external endpoint"):
        Signer(S3Settings("http://host", "bucket", "a", "s"), external=True)
    for key in ("../x", "/x", "a//b", "a b"):
        with pytest.raises(InvalidInputError):
            S3Grants(SETTINGS).grant(key, write=True)


class Silent(BaseHTTPRequestHandler):
    """Has no object at all."""

    def do_GET(self) -> None:
        content = b"<Error><Code>NoSuchKey</Code></Error>"
        self.send_response(404)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate of 127.0.0.1 with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "store")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "store.pem"
    plain = serialization.NoEncryption()
    secret = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + secret)
    return path


@pytest.fixture
def endpoint(certificate: Path) -> Iterator[str]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with HTTPServer(("127.0.0.1", 0), Silent) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"https://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_private_certificate_is_trusted_where_it_is_named(endpoint: str, certificate: Path) -> None:
    store = S3Store(S3Settings(endpoint, "bucket", "a", "s", ca_file=str(certificate), patience=QUICK))
    with pytest.raises(KeyError):
        store.get("x")
    store.close()


def test_a_certificate_that_is_not_trusted_is_refused_with_a_sentence(endpoint: str) -> None:
    pauses: list[float] = []
    with pytest.raises(StoreError, match="certificate is not trusted here; set the store's CA file"):
        S3Store(S3Settings(endpoint, "bucket", "a", "s", patience=QUICK)).get("x")
    with pytest.raises(SSLError):
        Transport(QUICK, sleep=pauses.append).exchange("GET", f"{endpoint}/x")
    assert not pauses, "a repetition would change nothing"


def test_an_evaluator_trusts_the_file_of_its_environment(
    endpoint: str, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    transport = Transport(QUICK)
    assert transport.exchange("GET", f"{endpoint}/x").status == 404
    transport.clear()


def test_plain_http_behind_https_is_told_so(endpoint: str) -> None:
    plain = endpoint.replace("https", "http")
    with pytest.raises(StoreError, match="connection broke"):
        S3Store(S3Settings(plain, "bucket", "a", "s", patience=QUICK)).get("x")
