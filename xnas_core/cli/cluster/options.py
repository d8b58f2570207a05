"""Options that say which cluster, and as whom. Commands get them by decorator, and find them in their session."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer
from typer.core import TyperCommand

from xnas_core.cli.session import Session

SECTION = "Cluster options"


@dataclass(frozen=True, slots=True)
class ClusterOptions:
    """What was said of the cluster; None: not said.

    Attributes:
        namespace: of the search.
        kubeconfig: file; else that of KUBECONFIG, or ~/.kube/config.
        kube_context: of the kubeconfig.
        operator_namespace: where the operator runs.
        address: HOST:PORT of the service; no port is forwarded then.
        ca_file: authority of the service's certificate.
        server_name: name in that certificate.
        token, token_file: what the service shall be shown.
        service_account: [NAMESPACE/]NAME whose token is made and shown.
    """

    namespace: str | None = None
    kubeconfig: Path | None = None
    kube_context: str | None = None
    operator_namespace: str | None = None
    address: str | None = None
    ca_file: Path | None = None
    server_name: str | None = None
    token: str | None = None
    token_file: Path | None = None
    service_account: str | None = None


def _option(*names: str, about: str, metavar: str, envvar: str | None = None) -> Any:
    # Names of variables are too long for a narrow column: docs/cli.md lists them.
    return typer.Option(
        *names, metavar=metavar, help=about, envvar=envvar, show_default=False, show_envvar=False,
        rich_help_panel=SECTION,
    )  # fmt: skip


_KUBERNETES: dict[str, Any] = {
    "namespace": Annotated[
        str | None,
        _option("--namespace", "-n", metavar="NAMESPACE", about="Of the search; else the context's."),
    ],
    "kubeconfig": Annotated[
        Path | None, _option("--kubeconfig", metavar="FILE", about="Else that of KUBECONFIG, or ~/.kube/config.")
    ],
    "kube_context": Annotated[str | None, _option("--context", metavar="NAME", about="Of the kubeconfig.")],
}
_OPERATOR: dict[str, Any] = {
    "operator_namespace": Annotated[
        str | None,
        _option(
            "--operator-namespace", metavar="NAME", about="Where the operator runs; else it is looked for.",
            envvar="XNAS_OPERATOR_NAMESPACE",
        ),
    ],
    "address": Annotated[
        str | None,
        _option(
            "--address", metavar="HOST:PORT", about="Of the operator's service; else a port is forwarded.",
            envvar="XNAS_ADDRESS",
        ),
    ],
    "ca_file": Annotated[
        Path | None,
        _option(
            "--ca-file", metavar="FILE", about="Authority of the service's certificate; else the cluster's.",
            envvar="XNAS_CA_FILE",
        ),
    ],
    "server_name": Annotated[
        str | None, _option("--server-name", metavar="NAME", about="Name in the service's certificate.")
    ],
    "token": Annotated[
        str | None,
        _option("--token", metavar="TOKEN", about="Of the audience xnas; better in XNAS_TOKEN.", envvar="XNAS_TOKEN"),
    ],
    "token_file": Annotated[
        Path | None, _option("--token-file", metavar="FILE", about="The same from a file, read again when needed.")
    ],
    "service_account": Annotated[
        str | None,
        _option(
            "--service-account", metavar="NAME", about="Make a token of this account, or NAMESPACE/NAME.",
            envvar="XNAS_SERVICE_ACCOUNT",
        ),
    ],
}  # fmt: skip

Command = TypeVar("Command", bound=Callable[..., Any])


def kubernetes_options(command: Command) -> Command:
    """Add the options of commands that ask the Kubernetes API alone."""
    return _with_options(command, _KUBERNETES)


def operator_options(command: Command) -> Command:
    """Add the options of commands that ask the operator's service."""
    return _with_options(command, _KUBERNETES | _OPERATOR)


def _with_options(command: Command, added: dict[str, Any]) -> Command:
    own = inspect.signature(command, eval_str=True)
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [
        *own.parameters.values(),
        *(inspect.Parameter(name, kind, default=None, annotation=hint) for name, hint in added.items()),
    ]

    @wraps(command)
    def wrapped(context: typer.Context, *arguments: Any, **named: Any) -> Any:
        said = {name: named.pop(name) for name in added}
        session = context.find_root().obj
        if isinstance(session, Session):
            session.cluster = ClusterOptions(**said)
        return command(context, *arguments, **named)

    # What typer reads the options from.
    wrapped.__signature__ = own.replace(parameters=parameters)  # type: ignore[attr-defined]  # functions have room for it
    wrapped.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": own.return_annotation}
    return wrapped  # type: ignore[return-value]  # it takes more, and is called by typer only


def said(session: Session) -> ClusterOptions:
    """Return what this call says of the cluster."""
    return session.cluster or ClusterOptions()


def wanted(options: ClusterOptions) -> bool:
    """Return whether anything was said on the command line that has to do with a cluster."""
    # Variables of the environment are there for all commands, also those for a folder.
    return any(getattr(options, f.name) is not None for f in fields(options)[:3])


class SectionedCommand(TyperCommand):
    """A command whose help lists the options for a cluster apart."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write arguments, options, and the cluster's options."""
        rows: dict[str, list[Any]] = {"Arguments": [], "Options": [], SECTION: []}
        for parameter in self.get_params(ctx):
            row = parameter.get_help_record(ctx)
            if row is None:
                continue
            section = getattr(parameter, "rich_help_panel", None)
            kind = "Arguments" if parameter.param_type_name == "argument" else "Options"
            rows[section if section == SECTION else kind].append(row)
        for title, listed in rows.items():
            if listed:
                with formatter.section(title):
                    formatter.write_dl(listed)
