"""The operator's settings: one YAML file that the chart renders, and secrets from the environment.

Names, units, defaults and bounds are those of charts/xnas/README.md. Nothing here reads a cluster.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, SecretStr, StringConstraints, ValidationError, model_validator

from xnas_core.api.base import Model
from xnas_core.api.model_tree import aliases, dotted, model_at
from xnas_core.api.suggest import nearest
from xnas_core.api.translate import translate
from xnas_core.api.yaml_tree import YamlFlawError, read_documents
from xnas_core.errors import InvalidInputError
from xnas_core.s3_address import S3Address

ACCESS_KEY = "XNAS_S3_ACCESS_KEY"
SECRET_KEY = "XNAS_S3_SECRET_KEY"
POD_NAME = "POD_NAME"
POD_NAMESPACE = "POD_NAMESPACE"
_CREDENTIAL_WORDS = ("accesskey", "secretkey", "password", "token")


class SettingsError(InvalidInputError):
    """The settings are wrong; the message names the key and what would be right."""

    reason = "InvalidSettings"


def _matching(pattern: str, right: str, longest: int) -> AfterValidator:
    compiled = re.compile(pattern)

    def check(text: str) -> str:
        if len(text) > longest or not compiled.fullmatch(text):
            raise ValueError(f"{right}, at most {longest} characters")
        return text

    return AfterValidator(check)


_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
Label = Annotated[
    str, _matching(_LABEL, 'use small letters, digits and "-", beginning and ending with a letter or digit', 63)
]
DnsName = Annotated[
    str,
    _matching(rf"(\*\.)?{_LABEL}(\.{_LABEL})*", 'use a DNS name of small letters, digits, "-" and "."', 253),
]
Address = Annotated[str, _matching(r"[A-Za-z0-9.-]+:[0-9]{1,5}", "use HOST:PORT without a scheme", 259)]
Endpoint = Annotated[
    str, _matching(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?", "use http://HOST:PORT or https://HOST:PORT, no path", 300)
]
Bucket = Annotated[str, _matching(r"[a-z0-9][a-z0-9.-]+[a-z0-9]", 'use small letters, digits, "-" and "."', 63)]
KeyPrefix = Annotated[
    str,
    _matching(r"([A-Za-z0-9][A-Za-z0-9._-]*/)*", 'use names that each end with "/", such as team/xnas/, or ""', 512),
]
DataPrefix = Annotated[
    str,
    _matching(
        r"s3://[a-z0-9][a-z0-9.-]+[a-z0-9]/([A-Za-z0-9][A-Za-z0-9._-]*/)*",
        'use s3://BUCKET/ or s3://BUCKET/FOLDER/, with "/" at the end so that no sibling is meant too',
        1024,
    ),
]
Text = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
Port = Annotated[int, Field(ge=1024, le=65_535)]


class LeaderElectionSettings(Model):
    """The Lease that elects the one active operator."""

    lease_name: DnsName = "xnas-operator"
    """Name of the Lease in the operator's namespace."""
    lease_duration_seconds: Annotated[int, Field(ge=3, le=3600)] = 15
    """Time after which a silent leader may be replaced."""
    renew_seconds: Annotated[int, Field(ge=1, le=1200)] = 5
    """Time between renewals; at most half the duration, so that one lost request costs nothing."""

    @model_validator(mode="after")
    def _renews_in_time(self) -> Self:
        if 2 * self.renew_seconds > self.lease_duration_seconds:
            raise ValueError("renewSeconds must be at most half of leaseDurationSeconds")
        return self


class GrpcSettings(Model):
    """Where callers and evaluators connect. Always TLS."""

    port: Port = 8443
    """Port that the operator listens on."""
    service_name: Label = "xnas"
    """Service in the operator's namespace that leads to the active operator."""
    evaluator_address: Address
    """HOST:PORT that evaluator pods connect to; absent: serviceName.POD_NAMESPACE.svc:port."""
    extra_names: Annotated[list[DnsName], Field(max_length=32)] = []
    """Further DNS names of the self-signed certificate, for callers from outside."""


class HttpSettings(Model):
    """Health and metrics, without TLS."""

    port: Port = 8080
    """Port of /healthz, /readyz and /metrics."""


class TlsSettings(Model):
    """The certificate of the gRPC port."""

    source: Literal["selfSigned", "secret"] = "selfSigned"
    """selfSigned: the operator makes and rotates it; secret: cert-manager or a person does."""
    secret_name: DnsName = "xnas-tls"
    """Secret in the operator's namespace with tls.crt, tls.key and ca.crt."""
    rotate_before_days: Annotated[int, Field(ge=1, le=365)] = 30
    """A self-signed certificate with fewer days left is replaced."""
    valid_days: Annotated[int, Field(ge=2, le=3650)] = 365
    """Days that a self-signed certificate is valid."""

    @model_validator(mode="after")
    def _lives_longer_than_rotation(self) -> Self:
        if self.rotate_before_days >= self.valid_days:
            raise ValueError("rotateBeforeDays must be less than validDays")
        return self


class StoreSettings(Model):
    """The S3 store of journals and artifacts. Its keys come from the environment."""

    endpoint: Endpoint
    """As seen by the operator and by evaluator pods."""
    external_endpoint: Endpoint | None = None
    """As seen from outside the cluster; absent: endpoint."""
    bucket: Bucket = "xnas"
    """Bucket of journals and artifacts; no data set is ever read from it."""
    region: Text = "us-east-1"
    """Region, always set, so that signing needs no request."""
    prefix: KeyPrefix = ""
    """Prefix of all keys in the bucket, with "/" at its end."""
    tls_ca_file: Text | None = None
    """PEM file with the authorities of an https endpoint; absent: the system's."""


class EvaluatorSettings(Model):
    """Defaults of evaluator pods."""

    image: Text
    """Image of evaluators."""
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"
    """When the image is pulled."""
    image_pull_secrets: Annotated[list[DnsName], Field(max_length=16)] = []
    """Secrets in the search's namespace."""
    drain_seconds: Annotated[int, Field(ge=0, le=86_400)] = 30
    """Time to finish or hand back a running candidate when the pod is asked to go."""
    heartbeat_seconds: Annotated[int, Field(ge=1, le=300)] = 5
    """Interval of heartbeats; three missed ones start the grace period (protocol.md §6)."""
    grace_seconds: Annotated[int, Field(ge=1, le=86_400)] = 60
    """Time that a lost evaluator keeps its attempts."""
    template: dict[str, Any] = {}
    """Pod template fields (metadata, spec), merged under those of the search."""

    @model_validator(mode="after")
    def _template_is_of_pods(self) -> Self:
        wrong = sorted(set(self.template) - {"metadata", "spec"})
        if wrong:
            raise ValueError(f'template has metadata and spec, not "{wrong[0]}"')
        for key, value in self.template.items():
            if not isinstance(value, dict):
                raise ValueError(f"template.{key} must be a map")
        return self


class Settings(Model):
    """All settings. `load` makes one."""

    namespaces: Annotated[list[Label], Field(max_length=1000)] = []
    """Namespaces whose searches are run; empty: all."""
    leader_election: LeaderElectionSettings = LeaderElectionSettings()
    """Which of several operators is active."""
    grpc: GrpcSettings
    """The gRPC port."""
    http: HttpSettings = HttpSettings()
    """The HTTP port."""
    tls: TlsSettings = TlsSettings()
    """The certificate."""
    store: StoreSettings
    """The store."""
    evaluator: EvaluatorSettings
    """Evaluator pods."""
    data_prefixes: dict[Label, Annotated[list[DataPrefix], Field(max_length=64)]] = {}
    """Namespace -> s3:// prefixes that its searches may read data from."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe level that is logged."""
    pod_name: DnsName
    """Name of the operator's own pod; from POD_NAME, not from the file."""
    pod_namespace: Label
    """Namespace of the operator's own pod; from POD_NAMESPACE, not from the file."""
    access_key: SecretStr
    """The store's access key; from XNAS_S3_ACCESS_KEY."""
    secret_key: SecretStr
    """The store's secret key; from XNAS_S3_SECRET_KEY."""

    @model_validator(mode="after")
    def _never_the_artifact_bucket(self) -> Self:
        for namespace, prefixes in self.data_prefixes.items():
            for prefix in prefixes:
                if prefix.startswith(f"s3://{self.store.bucket}/"):
                    raise ValueError(
                        f"dataPrefixes.{namespace} names {prefix}, but data is never read from store.bucket "
                        f"({self.store.bucket}), which holds other people's artifacts; use another bucket"
                    )
        if self.http.port == self.grpc.port:
            raise ValueError(f"http.port and grpc.port are both {self.http.port}; they must differ")
        return self

    @property
    def certificate_names(self) -> tuple[str, ...]:
        """DNS names that the certificate must cover: the Service's, from short to long, then grpc.extraNames."""
        name, namespace = self.grpc.service_name, self.pod_namespace
        service = (name, f"{name}.{namespace}", f"{name}.{namespace}.svc", f"{name}.{namespace}.svc.cluster.local")
        address = self.grpc.evaluator_address.rpartition(":")[0]
        dialled = () if re.fullmatch(r"[0-9.]+", address) else (address,)
        return tuple(dict.fromkeys((*service, *dialled, *self.grpc.extra_names, "localhost")))

    @property
    def external_endpoint(self) -> str:
        """The store's endpoint for callers outside the cluster."""
        return self.store.external_endpoint or self.store.endpoint

    def watches(self, namespace: str) -> bool:
        """Return whether searches of this namespace are run."""
        return not self.namespaces or namespace in self.namespaces

    def may_read(self, namespace: str, uri: str) -> bool:
        """Return whether searches of a namespace may read data at an s3:// URI (denied unless mapped)."""
        try:
            address = S3Address.parse(uri)
        except InvalidInputError:
            return False
        if address.bucket == self.store.bucket:
            return False
        return any(uri.startswith(prefix) for prefix in self.data_prefixes.get(namespace, []))


_FROM_ENVIRONMENT = {
    "podName": (POD_NAME, "the pod's metadata.name"),
    "podNamespace": (POD_NAMESPACE, "the pod's metadata.namespace"),
    "accessKey": (ACCESS_KEY, "the store's access key"),
    "secretKey": (SECRET_KEY, "the store's secret key"),
}


def load(path: str | Path, environ: Mapping[str, str]) -> Settings:
    """Read the settings from a YAML file and the environment.

    Raises:
        SettingsError: the file cannot be read, or a key is unknown, missing or out of bounds, or a variable is not
            set; each mistake is one sentence. No message ever holds a secret.
    """
    document = _read(Path(path))
    for key, (variable, meaning) in _FROM_ENVIRONMENT.items():
        if key in document:
            raise SettingsError(f"{path}: {key} is not read from the file; set the environment variable {variable}")
        if not environ.get(variable):
            raise SettingsError(f"the environment variable {variable} is not set; set it to {meaning}")
        document[key] = environ[variable]
    grpc = document.setdefault("grpc", {})
    if isinstance(grpc, dict) and grpc.get("evaluatorAddress") is None:
        service, port = grpc.get("serviceName", "xnas"), grpc.get("port", 8443)
        grpc["evaluatorAddress"] = f"{service}.{document['podNamespace']}.svc:{port}"
    try:
        return Settings.model_validate_json(json.dumps(document), by_alias=True, by_name=False)
    except ValidationError as error:
        raise SettingsError("\n".join(_sentences(error, document, str(path)))) from None


def _read(path: Path) -> dict[str, Any]:
    try:
        trees, flaws = read_documents(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path} is not UTF-8 text; write the settings as YAML") from None
    except YamlFlawError as error:
        raise SettingsError(f"{path}:{error.flaw.line}: {error.flaw.message}") from None
    if flaws:
        raise SettingsError(f"{path}:{flaws[0].line}: {dotted(flaws[0].path)}: {flaws[0].message}")
    document = trees[0].plain() if len(trees) == 1 else None
    if not isinstance(document, dict):
        raise SettingsError(f"{path} must be one YAML map of {', '.join(_file_keys())}")
    return document


def _file_keys() -> list[str]:
    return [key for key in aliases(Settings) if key not in _FROM_ENVIRONMENT]


def _sentences(error: ValidationError, document: Any, path: str) -> list[str]:
    own: dict[str, Callable[[tuple[str | int, ...]], str]] = {"extra_forbidden": _unknown, "missing": _missing}
    known = {fault.path: fault.message for fault in translate(error, document)}
    sentences: dict[str, str] = {}
    for detail in error.errors(include_url=False, include_context=True):
        place = tuple(detail["loc"])
        if detail["type"] in own:
            text = own[detail["type"]](place)
        elif detail["type"] == "value_error":
            text = f"{detail['ctx']['error']}"
        else:
            text = known.get(place) or detail["msg"][:1].lower() + detail["msg"][1:]
        name = dotted(place)
        variable = _FROM_ENVIRONMENT.get(name, ("", ""))[0]
        start = f"the environment variable {variable}" if variable else f"{path}: {name}" if name else path
        sentences.setdefault(name, f"{start}: {text}")
    # A wrong namespace makes evaluatorAddress wrong too: say the cause only.
    return [sentences[name] for name in sentences if name in _FROM_ENVIRONMENT] or list(sentences.values())


def _unknown(place: tuple[str | int, ...]) -> str:
    word = str(place[-1])
    if word.replace("_", "").lower() in _CREDENTIAL_WORDS:
        return f"secrets are not read from the file; set the environment variables {ACCESS_KEY} and {SECRET_KEY}"
    model = model_at(Settings, place[:-1])
    fields = _file_keys() if len(place) == 1 else list(aliases(model)) if model is not None else []
    meant = nearest(word, fields)
    return f'unknown key; did you mean "{meant}"?' if meant else f"unknown key; known here: {', '.join(fields)}"


def _missing(place: tuple[str | int, ...]) -> str:
    model = model_at(Settings, place[:-1])
    info = aliases(model).get(str(place[-1])) if model is not None else None
    meaning = (info.description or "").rstrip(".") if info is not None else ""
    return f"is missing; it is required ({meaning})" if meaning else "is missing; it is required"
