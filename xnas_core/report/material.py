"""What all sections of the report are made from; what takes time is computed once, when it is first asked for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from markupsafe import Markup

from xnas_core.analysis.correlation import Correlation, correlations
from xnas_core.analysis.futile import Owing, owing
from xnas_core.analysis.motifs import MotifStudy, study
from xnas_core.analysis.phylogeny import Phylogeny, phylogeny
from xnas_core.analysis.population import Population, population_of
from xnas_core.errors import InvalidInputError
from xnas_core.plugins import PluginKind, load
from xnas_core.report.data import ReportData, report_data
from xnas_core.report.glossary import Glossary, glossary
from xnas_core.report.pictures import Pictures
from xnas_core.report.summary import Summary, summarise
from xnas_core.search.view import SearchView
from xnas_core.spaces.base import SearchSpace

CARD_LIMIT = 100
"""Front members with a card of their own; a larger front is shown by members spread evenly over it."""


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the page: its id, its name in the navigation, its markup (a whole <section>)."""

    id: str
    nav: str
    html: Markup


@dataclass(frozen=True)
class Material:
    """A search and what follows from it.

    Attributes:
        space: None where its plug-in is not installed here.
        chosen: positions of the front members that get a card, best first objective first.
    """

    view: SearchView
    data: ReportData
    summary: Summary
    space: SearchSpace | None
    pictures: Pictures
    chosen: tuple[int, ...]

    @cached_property
    def glossary(self) -> Glossary:
        """What every name in the page means."""
        return glossary(self.data)

    @cached_property
    def people(self) -> Population | None:
        """The scored candidates as genes."""
        return population_of(self.view, self.space) if self.space is not None else None

    @cached_property
    def choices(self) -> MotifStudy | None:
        """Single choices, tested as a family of their own."""
        return study(self.people, self.view.spec.seed, largest=1) if self.people is not None else None

    @cached_property
    def motifs(self) -> MotifStudy | None:
        """Connected motifs."""
        return study(self.people, self.view.spec.seed) if self.people is not None else None

    @cached_property
    def correlations(self) -> tuple[Correlation, ...]:
        """Objectives against costs."""
        return correlations(self.view)

    @cached_property
    def owing(self) -> Mapping[str, Owing]:
        """Front members that owe their place to futile activations, by id."""
        return owing(self.view)

    @cached_property
    def tree(self) -> Phylogeny:
        """Who descends from whom."""
        return phylogeny(self.view)

    @cached_property
    def by_weight(self) -> tuple[int, ...]:
        """The chosen members, those a reader looks at first at the head: knee, both ends, then the others."""
        knee = () if self.summary.knee is None else (self.summary.knee,)
        first = dict.fromkeys((*knee, *self.chosen[:1], *self.chosen[-1:]))
        return tuple(dict.fromkeys((*(i for i in first if i in self.chosen), *self.chosen)))


def material(view: SearchView, read: Callable[[str], bytes]) -> Material:
    """Return what the report of a search is made from; `read` as in `Pictures`."""
    data = report_data(view)
    summary = summarise(data)
    return Material(view, data, summary, _space(view), Pictures(read), carded(data, summary.knee))


def carded(data: ReportData, knee: int | None) -> tuple[int, ...]:
    """Return the positions of the front members that get a card: all, or 100 with both ends and the knee among them."""
    front = data.front
    if len(front) <= CARD_LIMIT:
        return front
    chosen = {front[round(k * (len(front) - 1) / (CARD_LIMIT - 1))] for k in range(CARD_LIMIT)}
    return tuple(i for i in front if i in chosen or i == knee)


def _space(view: SearchView) -> SearchSpace | None:
    """Return the search space, or None where its plug-in is not installed here."""
    try:
        made: SearchSpace = load(PluginKind.SPACE, view.spec.search_space.name)(
            view.spec.search_space.parameters, view.data_shape
        )
    except (InvalidInputError, ImportError):
        return None
    return made
