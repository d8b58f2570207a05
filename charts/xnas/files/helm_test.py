"""helm test: the Service leads to an operator that serves over TLS, and the operator is ready."""

import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

address, ready_url = os.environ["XNAS_ADDRESS"], os.environ["XNAS_READY_URL"]
authority = Path(os.environ["XNAS_CA_FILE"]).read_bytes()


def serving() -> str:
    """Return an empty text, or why the gRPC port is not serving."""
    with grpc.secure_channel(address, grpc.ssl_channel_credentials(authority)) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
        except grpc.RpcError as error:
            return f"{address}: {error.code().name}: {error.details()}"
    good = answer.status == health_pb2.HealthCheckResponse.SERVING
    return "" if good else f"{address} answers {health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)}"


def ready() -> str:
    """Return an empty text, or why the operator is not ready, in its own words."""
    try:
        with urllib.request.urlopen(ready_url, timeout=10):
            return ""
    except urllib.error.HTTPError as error:
        return f"{ready_url} answers {error.code}: {error.read(2000).decode(errors='replace')}"
    except OSError as error:
        return f"{ready_url}: {error}"


deadline = time.monotonic() + float(os.environ.get("XNAS_PATIENCE_SECONDS", "60"))
while trouble := [text for text in (serving(), ready()) if text]:
    if time.monotonic() > deadline:
        sys.exit("\n".join(trouble))
    time.sleep(1)
print(f"{address} serves over TLS, and the operator is ready")
