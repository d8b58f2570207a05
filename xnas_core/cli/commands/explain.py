"""`xnas explain`."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from xnas_core.cli.cluster.options import operator_options
from xnas_core.cli.options import AsJson, CandidateId, Device, Place, SearchPlace, Verbose
from xnas_core.cli.session import begin

EXAMPLE = """Examples:
  xnas explain runs/first c01ab
  xnas explain team-a/digits c01ab --method deepLift --method occlusion --samples-per-class 4
  xnas explain runs/first c01ab --method integratedGradients --set integratedGradients.steps=200"""

Methods = Annotated[
    list[str] | None,
    typer.Option("--method", metavar="NAME", help="An explainer; may be repeated.", show_default="the search's"),
]
Parameters = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME.PARAMETER=VALUE",
        help="A parameter of an explainer; may be repeated.",
        show_default="the search's",
    ),
]
SamplesPerClass = Annotated[
    int | None,
    typer.Option(
        "--samples-per-class", min=1, max=100, help="Validation samples of each class.", show_default="the search's"
    ),
]


@operator_options
def explain(
    context: typer.Context,
    search: SearchPlace,
    identity: CandidateId,
    method: Methods = None,
    parameter: Parameters = None,
    samples_per_class: SamplesPerClass = None,
    device: Device = Place.AUTO,
    as_json: AsJson = False,
    verbose: Verbose = 0,
) -> None:
    """Explain and diagnose a trained candidate, also while its search runs on a cluster, and wait for the end.

    In an output folder it runs here, once no run holds the folder; a search that was stopped stays where it is.
    """
    from xnas_core.cli.requesting import Wish, done
    from xnas_core.tasks import TaskKind

    session = begin(context, as_json=as_json, verbosity=verbose)
    parameters: dict[str, Any] = {"methods": method} if method else {}
    if parameter:
        parameters["explainers"] = _explainers(parameter)
    if samples_per_class is not None:
        parameters["samplesPerClass"] = samples_per_class
    with done(session, search, identity, Wish(TaskKind.EXPLAIN, parameters, device.value)) as found:
        from xnas_core.report.numbers import size

        stored = [artifact for artifact in found.record.artifacts if artifact.key.startswith(found.prefix)]
        if session.json:
            from xnas_core.cli.documents import candidate_document

            session.answer({**candidate_document(found.view, found.record), "explained": [a.key for a in stored]})
            return
        print(f"{found.record.id} is explained")
        for artifact in stored:
            print(f"  {artifact.key}  {size(artifact.size)}")
        print(f"  all that is known of it: xnas candidate {found.place} {found.record.id}")


def _explainers(texts: list[str]) -> list[dict[str, Any]]:
    """Return the explainers' parameters as a request has them. A value is JSON (200, 0.5, true), or else a text."""
    import json

    from xnas_core.errors import InvalidInputError

    found: dict[str, dict[str, Any]] = {}
    for text in texts:
        place, equals, value = text.partition("=")
        explainer, _, name = place.rpartition(".")
        if not equals or not explainer or not name:
            raise InvalidInputError(f"--set {text!r} does not give a parameter: write NAME.PARAMETER=VALUE")
        try:
            found.setdefault(explainer, {})[name] = json.loads(value)
        except ValueError:
            found.setdefault(explainer, {})[name] = value
    return [{"name": explainer, "parameters": parameters} for explainer, parameters in found.items()]
