"""The NAS-Bench-201 cell: operations, encodings, and the canonical form of the network that an encoding stands for.

Source of the space: Dong & Yang 2020, "NAS-Bench-201: Extending the Scope of Reproducible Neural Architecture Search".
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

from xnas_core.errors import InvalidInputError
from xnas_core.spaces.base import Genes

CONV_3X3, CONV_1X1, POOL, NONE, SKIP = range(5)
"""The gene values: the integer codes of Carmichael et al. 2023, whose sbx operator depends on their order."""

OPERATIONS: tuple[str, ...] = ("nor_conv_3x3", "nor_conv_1x1", "avg_pool_3x3", "none", "skip_connect")
"""Published name of each gene value."""

EDGES: tuple[tuple[int, int], ...] = ((0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3))
"""(source, target) of each gene: the order of the arch string."""

INPUT = 0
"""Index of the cell's input in the sums of a CellForm."""

Sum = tuple[int, ...]
"""Indices of what is added, sorted; an index that occurs twice is added twice. Empty: zero."""


@dataclass(frozen=True, slots=True)
class Term:
    """One operation of the canonical cell: its gene value (a convolution or POOL) and the sum it reads."""

    operation: int
    reads: Sum


@dataclass(frozen=True)
class CellForm:
    """The canonical cell. Two encodings have equal forms exactly when they are the same network.

    Attributes:
        terms: the operations that lie on a path from input to output; term k has index k + 1 in sums.
        output: the sum that leaves the cell. Empty when the cell is disconnected.
    """

    terms: tuple[Term, ...]
    output: Sum

    @cached_property
    def text(self) -> str:
        """The form as one line: `1=nor_conv_3x3(0);0+1` adds the input to a convolution of it."""
        lines = [f"{k + 1}={OPERATIONS[t.operation]}({_join(t.reads)})" for k, t in enumerate(self.terms)]
        return ";".join([*lines, _join(self.output)]) if self.output else "disconnected"


IDENTITY = CellForm((), (INPUT,))
"""The cell that passes its input on."""


def arch_string(genes: Genes) -> str:
    """Return `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`."""
    nodes = []
    for target in (1, 2, 3):
        parts = [f"{OPERATIONS[g]}~{s}" for g, (s, t) in zip(genes, EDGES, strict=True) if t == target]
        nodes.append(f"|{'|'.join(parts)}|")
    return "+".join(nodes)


def parse_arch_string(encoding: str) -> Genes:
    """Inverse of `arch_string`; raise InvalidInputError on anything else."""
    nodes = encoding.strip().split("+")
    parts = [part for node in nodes for part in node.strip("|").split("|")]
    if len(nodes) != 3 or len(parts) != len(EDGES):
        raise InvalidInputError(f"{encoding!r} is not of the form |op~0|+|op~0|op~1|+|op~0|op~1|op~2|")
    genes = []
    for part, (source, target) in zip(parts, EDGES, strict=True):
        operation, _, origin = part.rpartition("~")
        if operation not in OPERATIONS:
            raise InvalidInputError(f"unknown operation {operation!r} in {encoding!r} (known: {', '.join(OPERATIONS)})")
        if origin != str(source):
            raise InvalidInputError(f"{part!r} in {encoding!r} must read node {source}: it is edge {source}-{target}")
        genes.append(OPERATIONS.index(operation))
    if arch_string(tuple(genes)) != encoding.strip():
        raise InvalidInputError(f"{encoding!r} is not of the form |op~0|+|op~0|op~1|+|op~0|op~1|op~2|")
    return tuple(genes)


@lru_cache(maxsize=5**6)
def cell_form(genes: Genes) -> CellForm:
    """Return the canonical form.

    Zero edges, and what only zeros reach, are dropped; identities vanish; sums are flattened with multiplicity; pooling
    the same sum twice is one value, while each convolution has weights of its own; what does not reach the output is
    dropped; the rest is numbered in an order that does not depend on the encoding.
    """
    elements: list[Term] = []
    pools: dict[Sum, int] = {}
    values: list[Sum] = [(INPUT,)]
    for target in (1, 2, 3):
        total: list[int] = []
        for gene, (source, end) in zip(genes, EDGES, strict=True):
            value = values[source] if end == target else ()
            if gene == NONE or not value:
                continue
            if gene == SKIP:
                total.extend(value)
            elif gene == POOL and value in pools:
                total.append(pools[value])
            else:
                elements.append(Term(gene, value))
                total.append(len(elements))
                if gene == POOL:
                    pools[value] = len(elements)
        values.append(tuple(sorted(total)))
    return _numbered(_reaching(elements, values[-1]), values[-1])


def _reaching(elements: list[Term], output: Sum) -> dict[int, Term]:
    """Return the elements, by index, that the output depends on."""
    live: dict[int, Term] = {}
    pending = list(output)
    while pending:
        index = pending.pop()
        if index != INPUT and index not in live:
            live[index] = elements[index - 1]
            pending.extend(live[index].reads)
    return live


def _numbered(live: dict[int, Term], output: Sum) -> CellForm:
    """Number the elements canonically.

    Next comes always the element, of those whose inputs have numbers, with the smallest operation and inputs. Only
    convolutions of the same kind and input tie; every order of them is tried and the smallest outcome kept.
    """

    def renamed(total: Sum, numbers: dict[int, int]) -> Sum:
        return tuple(sorted(numbers[index] for index in total))

    def extend(numbers: dict[int, int], done: tuple[tuple[int, Sum], ...]) -> tuple[tuple[tuple[int, Sum], ...], Sum]:
        ready = [
            ((term.operation, renamed(term.reads, numbers)), index)
            for index, term in live.items()
            if index not in numbers and all(i in numbers for i in term.reads)
        ]
        if not ready:
            return done, renamed(output, numbers)
        smallest = min(key for key, _ in ready)
        return min(
            extend({**numbers, index: len(numbers)}, (*done, smallest)) for key, index in ready if key == smallest
        )

    terms, total = extend({INPUT: INPUT}, ())
    return CellForm(tuple(Term(operation, reads) for operation, reads in terms), total)


def literature_form(genes: Genes) -> str:
    """Return the string by which published work tells architectures apart (6,466 of them).

    A node is its sorted inputs, joined. An edge from x is `#` if it is zeroize or x is `#`, x if it is the identity,
    else `(x)@operation`. It keeps some equal networks apart and merges some that differ; use `cell_form` for identity.
    """
    nodes = ["0"]
    for target in (1, 2, 3):
        parts = []
        for gene, (source, end) in zip(genes, EDGES, strict=True):
            if end == target:
                x = nodes[source]
                dead = gene == NONE or x == "#"
                parts.append("#" if dead else x if gene == SKIP else f"({x})@{OPERATIONS[gene]}")
        nodes.append("+".join(sorted(parts)))
    return nodes[-1]


def live_edges(genes: Genes) -> tuple[bool, ...]:
    """Return for each edge whether it carries something from the cell's input to its output."""
    reached = {0}
    for gene, (source, target) in zip(genes, EDGES, strict=True):
        if gene != NONE and source in reached:
            reached.add(target)
    leads = {3}
    for gene, (source, target) in reversed(tuple(zip(genes, EDGES, strict=True))):
        if gene != NONE and target in leads:
            leads.add(source)
    return tuple(g != NONE and s in reached and t in leads for g, (s, t) in zip(genes, EDGES, strict=True))


def _join(total: Sum) -> str:
    return "+".join(map(str, total))
