"""`xnas logs`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from xnas_core.cli.cluster.options import kubernetes_options
from xnas_core.cli.options import AsJson, ClusterSearch
from xnas_core.cli.session import begin

if TYPE_CHECKING:
    from xnas_core.cli.cluster.acting import NamedSearch
    from xnas_core.cli.cluster.pod_logs import EvaluatorLogs
    from xnas_core.cli.session import Session

EXAMPLE = """Examples:
  xnas logs team-a/digits --tail 20
  xnas logs team-a/digits --follow --evaluator digits-evaluators-0"""

Follow = Annotated[bool, typer.Option("--follow", "-f", help="Go on as they are written, until the search is over.")]
Tail = Annotated[
    int | None,
    typer.Option("--tail", min=0, max=1_000_000, metavar="N", help="Newest lines of each.", show_default="all"),
]
Evaluator = Annotated[
    str,
    typer.Option("--evaluator", metavar="POD", help="Of this one; its name, or how it begins.", show_default=False),
]


@kubernetes_options
def logs(
    context: typer.Context,
    search: ClusterSearch,
    follow: Follow = False,
    tail: Tail = None,
    evaluator: Evaluator = "",
    as_json: AsJson = False,
) -> None:
    """Show what a search's evaluators have logged.

    Where there are several, each line begins with its pod. With --json and --follow there is one document a line. Logs
    of pods that are gone are gone, too; `xnas candidate` says why an attempt failed.
    """
    from xnas_core.cli.cluster.acting import named_search
    from xnas_core.cli.cluster.pod_logs import EvaluatorLogs

    session = begin(context, as_json=as_json)
    with named_search(session, search) as found:
        uid = found.get()["metadata"]["uid"]
        evaluators = EvaluatorLogs(found.searches.kube, found.namespace, uid, evaluator)
        if follow:
            _follow(session, found, evaluators, tail)
        else:
            _show(session, found, evaluators, tail)


def _show(session: Session, found: NamedSearch, evaluators: EvaluatorLogs, tail: int | None) -> None:
    pods = evaluators.pods()
    if session.json:
        by_pod: dict[str, list[str]] = {pod: [] for pod in pods}
        for line in evaluators.now(tail):
            by_pod.setdefault(line.pod, []).append(line.text)
        session.answer({"logs": [{"evaluator": pod, "lines": lines} for pod, lines in by_pod.items()]})
        return
    if not pods:
        typer.echo(f"{found.place} has no evaluators now; `xnas list` says what it is doing", err=True)
    for line in evaluators.now(tail):
        print(f"[{line.pod}] {line.text}" if len(pods) > 1 else line.text)


def _follow(session: Session, found: NamedSearch, evaluators: EvaluatorLogs, tail: int | None) -> None:
    from xnas_core.service.errors import NotFoundError
    from xnas_core.service.resources import info

    def over() -> bool:
        try:
            return info(found.get()).standing.finished
        except NotFoundError:
            return True

    for line in evaluators.follow(tail, over):
        if session.json:
            session.line({"evaluator": line.pod, "line": line.text})
        else:
            print(f"[{line.pod}] {line.text}", flush=True)
