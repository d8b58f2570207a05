"""A search on a cluster as a source of views and objects."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from xnas_core.cli.cluster.connecting import Reached, directly, kube_for, through
from xnas_core.cli.cluster.options import ClusterOptions
from xnas_core.cli.cluster.searches import Searches
from xnas_core.cli.places import ClusterPlace
from xnas_core.service.errors import ForbiddenError, NotFoundError

if TYPE_CHECKING:
    from xnas_core.search.view import SearchSummary, SearchView


class ClusterSource:
    """See Source."""

    folder: Path | None = None

    def __init__(self, to: Reached) -> None:
        self.reached = to
        self.place = f"{to.namespace}/{to.name}"

    def view(self) -> SearchView:
        """See Source."""
        return self.reached.client.view(self.reached.namespace, self.reached.name)

    def summary(self) -> SearchSummary:
        """See Source."""
        return self.reached.client.summary(self.reached.namespace, self.reached.name)

    def get(self, key: str) -> bytes:
        """See Source."""
        try:
            return self.reached.client.artifact(self.reached.namespace, self.reached.name, key)
        except NotFoundError as error:
            raise KeyError(key) from error


@contextmanager
def cluster_source(place: ClusterPlace, options: ClusterOptions, text: str | None = None) -> Iterator[ClusterSource]:
    """Connect to a search.

    Args:
        place: the search.
        options: what was said of the cluster.
        text: what was typed, where a folder might have been meant.

    Raises:
        XnasError: there is no such search, or no way to it; the sentence says what to change.
    """
    if options.address is not None:
        with directly(options.address, place, options) as to:
            yield ClusterSource(to)
        return
    with kube_for(options) as kube:
        place = ClusterPlace(place.namespace or kube.access.namespace, place.name)
        _look(Searches(kube), place, text, options)
        with through(kube, place, options) as to:
            yield ClusterSource(to)


def _look(searches: Searches, place: ClusterPlace, text: str | None, options: ClusterOptions) -> None:
    """Find out with the caller's own rights whether there is such a search: that answer has suggestions."""
    assert place.namespace is not None  # just set
    try:
        searches.get(place.namespace, place.name)
    except ForbiddenError:
        # The account whose token is shown may have the right that the login lacks.
        return
    except NotFoundError as error:
        folder = "" if options.namespace or text is None else f", and no folder {text}"
        raise NotFoundError(f"{error}{folder}") from error
