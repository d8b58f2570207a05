"""`xnas scale`."""

from __future__ import annotations

from typing import Annotated

import typer

from xnas_core.cli.cluster.options import kubernetes_options
from xnas_core.cli.options import AsJson, ClusterSearch
from xnas_core.cli.session import begin

EXAMPLE = """Example:
  xnas scale team-a/digits 4"""

Evaluators = Annotated[int, typer.Argument(metavar="N", min=0, max=10_000, help="Evaluator pods.", show_default=False)]


@kubernetes_options
def scale(context: typer.Context, search: ClusterSearch, evaluators: Evaluators, as_json: AsJson = False) -> None:
    """Set the number of a search's evaluator pods, also while it runs.

    Evaluators that are too many hand back what they train. With 0 the search waits.
    """
    from xnas_core.cli.cluster.acting import named_search, tell

    session = begin(context, as_json=as_json)
    with named_search(session, search) as found:
        resource = found.change({"evaluators": {"replicas": evaluators}})
        counted = f"{evaluators} evaluator{'' if evaluators == 1 else 's'}"
        waits = "; it is suspended, and has none until it is resumed" if resource["spec"].get("suspend") else ""
        tell(session, f"{found.place} is to have {counted}{waits}", resource)
