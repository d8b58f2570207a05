"""`xnas retry`."""

from __future__ import annotations

import typer

from xnas_core.cli.cluster.options import operator_options, said
from xnas_core.cli.options import AsJson, CandidateId, Device, Place, SearchPlace
from xnas_core.cli.session import begin

EXAMPLE = """Examples:
  xnas retry runs/first c01ab
  xnas retry team-a/digits c01ab"""


@operator_options
def retry(
    context: typer.Context,
    search: SearchPlace,
    identity: CandidateId,
    device: Device = Place.AUTO,
    as_json: AsJson = False,
) -> None:
    """Evaluate a candidate again that failed for good, say because of a mistake in the pods' template.

    It is trained as it was: with the same seed, after the search's last evaluation. What the search decides stays the
    same; the candidate takes its place on the front.
    """
    from xnas_core.cli.cluster.source import cluster_source
    from xnas_core.cli.places import FolderPlace, cluster_place
    from xnas_core.cli.requesting import place_of
    from xnas_core.cli.retrying import retry_here
    from xnas_core.cli.viewing import find_candidate
    from xnas_core.errors import InvalidInputError
    from xnas_core.search.view import CandidateState
    from xnas_core.service.values import CandidateQuery
    from xnas_core.tasks import TaskKind

    session = begin(context, as_json=as_json)
    where = place_of(session, search)
    if isinstance(where, FolderPlace):
        retry_here(session, where.folder, search, identity, device.value)
        return
    options = said(session)
    with cluster_source(cluster_place(search, options), options) as source:
        record = find_candidate(source.view(), identity)
        if record.state is not CandidateState.FAILED:
            failed = CandidateQuery(states=(CandidateState.FAILED,))
            to = source.reached
            others = [c.id for c in to.client.candidates(to.namespace, to.name, failed)]
            listed = f"; those that failed: {', '.join(others[:8])}" if others else "; none has failed"
            raise InvalidInputError(f"{record.id} has not failed, it is {record.state.value}{listed}")
        to = source.reached
        to.client.request_task(to.namespace, to.name, record.id, TaskKind.EVALUATE)
    if session.json:
        session.answer({"search": source.place, "candidate": record.id, "requested": TaskKind.EVALUATE.value})
        return
    print(f"{record.id} will be evaluated again\n  it failed before: {record.failure}")
    print(f"  follow it: xnas watch {source.place}")
