"""The two scripts in the chart: they run as rendered, against servers of the test."""

from __future__ import annotations

import datetime
import ipaddress
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from tests.chart.kubernetes_schema import problems
from tests.chart.rendering import ACCESS_KEY, CHART, SECRET_KEY, Chart, find
from tests.chart.test_chart_matrix import CASES

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


def run(script: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a script of the chart as its container does."""
    text = (CHART / "files" / script).read_text()
    return subprocess.run(
        [sys.executable, "-c", text], env=environment, capture_output=True, text=True, check=False, timeout=60
    )


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[int]:
    """Serve HTTP on a loopback port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


class Bucket(BaseHTTPRequestHandler):
    """As much of S3 as making a bucket needs."""

    buckets: set[str] = set()
    requests: list[str] = []
    refuse = False

    def do_HEAD(self) -> None:
        self._answer(403 if self.refuse else 200 if self.path.strip("/") in self.buckets else 404)

    def do_PUT(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.buckets.add(self.path.strip("/"))
        self._answer(200)

    def _answer(self, status: int) -> None:
        self.requests.append(f"{self.command} {self.path} {ACCESS_KEY in self.headers.get('Authorization', '')}")
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def bucket_server() -> Iterator[dict[str, str]]:
    Bucket.buckets, Bucket.requests, Bucket.refuse = set(), [], False
    with serving(Bucket) as port:
        yield {
            "XNAS_S3_ENDPOINT": f"http://127.0.0.1:{port}",
            "XNAS_S3_BUCKET": "xnas",
            "XNAS_S3_REGION": "us-east-1",
            "XNAS_S3_ACCESS_KEY": ACCESS_KEY,
            "XNAS_S3_SECRET_KEY": SECRET_KEY,
            "XNAS_S3_PATIENCE_SECONDS": "0",
        }


def test_the_bucket_is_made_once(bucket_server: dict[str, str]) -> None:
    first = run("make_bucket.py", bucket_server)
    assert (first.returncode, first.stdout) == (0, "bucket xnas made\n"), first.stderr
    assert run("make_bucket.py", bucket_server).stdout == "bucket xnas is there\n"
    assert [request.split()[0] for request in Bucket.requests] == ["HEAD", "PUT", "HEAD"]
    assert all(request.endswith("True") for request in Bucket.requests)


def test_wrong_keys_are_told_at_once(bucket_server: dict[str, str]) -> None:
    Bucket.refuse = True
    done = run("make_bucket.py", {**bucket_server, "XNAS_S3_PATIENCE_SECONDS": "60"})
    assert done.returncode == 1
    assert "refuses bucket xnas" in done.stderr
    assert "check the store's keys" in done.stderr
    assert SECRET_KEY not in done.stderr + done.stdout


def certificate(folder: Path) -> tuple[bytes, bytes]:
    """Return (key, certificate) for localhost, signed by itself, and write ca.crt."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = made.public_bytes(serialization.Encoding.PEM)
    (folder / "ca.crt").write_bytes(public)
    return private, public


@contextmanager
def health_server(status: int, key_and_certificate: tuple[bytes, bytes]) -> Iterator[int]:
    """Serve gRPC health over TLS on a loopback port."""
    server = grpc.server(futures.ThreadPoolExecutor(2))
    servicer = health.HealthServicer()
    servicer.set("", status)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([key_and_certificate]))
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()


class Readiness(BaseHTTPRequestHandler):
    """/readyz."""

    status = 200

    def do_GET(self) -> None:
        body = b"the store does not answer"
        self.send_response(self.status if self.path == "/readyz" else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def helm_test(folder: Path, status: int, ready: int) -> subprocess.CompletedProcess[str]:
    Readiness.status = ready
    with serving(Readiness) as http_port, health_server(status, certificate(folder)) as grpc_port:
        return run(
            "helm_test.py",
            {
                "XNAS_ADDRESS": f"localhost:{grpc_port}",
                "XNAS_READY_URL": f"http://127.0.0.1:{http_port}/readyz",
                "XNAS_CA_FILE": str(folder / "ca.crt"),
                "XNAS_PATIENCE_SECONDS": "0",
            },
        )


def test_helm_test_passes_when_the_operator_serves_and_is_ready(tmp_path: Path) -> None:
    done = helm_test(tmp_path, SERVING, 200)
    assert done.returncode == 0, done.stderr
    assert "serves over TLS, and the operator is ready" in done.stdout


def test_helm_test_says_why_it_fails(tmp_path: Path) -> None:
    done = helm_test(tmp_path, NOT_SERVING, 503)
    assert done.returncode == 1
    assert "answers NOT_SERVING" in done.stderr
    assert "answers 503: the store does not answer" in done.stderr


def test_helm_test_trusts_the_given_authority_only(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    certificate(other)
    with serving(Readiness) as http_port, health_server(SERVING, certificate(tmp_path)) as port:
        done = run(
            "helm_test.py",
            {
                "XNAS_ADDRESS": f"localhost:{port}",
                "XNAS_READY_URL": f"http://127.0.0.1:{http_port}/readyz",
                "XNAS_CA_FILE": str(other / "ca.crt"),
                "XNAS_PATIENCE_SECONDS": "0",
            },
        )
    assert done.returncode == 1
    assert "UNAVAILABLE" in done.stderr


def test_containers_run_the_scripts_as_they_are(chart: Chart) -> None:
    documents = chart.render(CASES["minio"])
    operator = find(documents, "Deployment", "xnas-operator")["spec"]["template"]["spec"]
    test = find(documents, "Pod", "xnas-test")
    for container, script in (
        (operator["initContainers"][0], "make_bucket.py"),
        (test["spec"]["containers"][0], "helm_test.py"),
    ):
        text = (CHART / "files" / script).read_text()
        assert container["command"] == ["python", "-c", text]
        # Kubernetes would replace $(NAME) in a command.
        assert "$(" not in text


def test_helm_test_asks_the_service_with_its_authority(chart: Chart) -> None:
    documents = chart.render(CASES["least"])
    pod = find(documents, "Pod", "xnas-test")
    assert pod["metadata"]["annotations"]["helm.sh/hook"] == "test"
    environment = {entry["name"]: entry["value"] for entry in pod["spec"]["containers"][0]["env"]}
    assert environment["XNAS_ADDRESS"] == "xnas.xnas.svc:8443"
    assert environment["XNAS_READY_URL"] == "http://xnas-metrics.xnas.svc:8080/readyz"
    (secret,) = [volume["secret"] for volume in pod["spec"]["volumes"] if "secret" in volume]
    # Never the private key.
    assert secret == {"secretName": "xnas-tls", "items": [{"key": "ca.crt", "path": "ca.crt"}]}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"imagee": "x"}, "imagee: Extra inputs"),
        ({"name": None}, "name: Input should be a valid string"),
        ({"ports": [{"containerPort": "80"}]}, "containerPort: Input should be a valid integer"),
        ({"tty": "yes"}, "tty: Input should be a valid boolean"),
    ],
)
def test_the_schema_check_finds_mistakes(change: dict[str, object], words: str) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "a", **change}]}}
    (problem,) = problems(pod)
    assert words in problem
    assert problems({**pod, "kind": "Pood"}) == ["there is no kind Pood in v1"]
