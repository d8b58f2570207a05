"""What commands share that act on one search through the Kubernetes API alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import typer

from xnas_core.cli.cluster.connecting import kube_for
from xnas_core.cli.cluster.kube import JsonObject
from xnas_core.cli.cluster.options import said
from xnas_core.cli.cluster.searches import Searches
from xnas_core.cli.places import cluster_place
from xnas_core.cli.session import Session


@dataclass(frozen=True, slots=True)
class NamedSearch:
    """A search by namespace and name, and the API server that has it."""

    searches: Searches
    namespace: str
    name: str

    @property
    def place(self) -> str:
        """What to type as SEARCH."""
        return f"{self.namespace}/{self.name}"

    def get(self) -> JsonObject:
        """Return the resource."""
        return self.searches.get(self.namespace, self.name)

    def change(self, spec: JsonObject) -> JsonObject:
        """Apply a merge patch to the spec; return the resource."""
        return self.searches.change(self.namespace, self.name, spec)


@contextmanager
def named_search(session: Session, text: str) -> Iterator[NamedSearch]:
    """Open the API server for the search that is meant; whether there is one is not asked."""
    options = said(session)
    place = cluster_place(text, options)
    with kube_for(options) as kube:
        yield NamedSearch(Searches(kube), place.namespace or kube.access.namespace, place.name)


def tell(session: Session, sentence: str, resource: JsonObject) -> None:
    """Say what was done; as JSON: what the search is now."""
    if session.json:
        from xnas_core.cli.cluster.listing import resource_document

        session.answer(resource_document(resource))
        return
    typer.echo(sentence)
