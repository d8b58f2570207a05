"""How similar classes are: from a file of pairs, or from WordNet."""

from __future__ import annotations

import csv
import math
import warnings
from collections.abc import Sequence
from functools import lru_cache
from importlib import import_module
from itertools import combinations
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xnas_core.errors import InvalidInputError

Pairs = dict[frozenset[str], float]


def read_pairs(path: str) -> Pairs:
    """Return the similarity of each pair of classes in a CSV file of `class,class,similarity`; a heading is allowed.

    Pairs have no order; what is said of a class and itself is left out.

    Raises:
        InvalidInputError: the file cannot be read, or a line is wrong; the message names it.
    """
    try:
        rows = list(csv.reader(Path(path).read_text(encoding="utf-8-sig").splitlines()))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InvalidInputError(f"the class similarities {path} cannot be read: {error}") from error
    found: Pairs = {}
    for number, row in enumerate(rows, 1):
        value = _number(row[2]) if len(row) == 3 else None
        if not row or (number == 1 and len(row) == 3 and value is None):
            continue
        if value is None or not math.isfinite(value) or value < 0:
            raise InvalidInputError(
                f"line {number} of {path} must be class,class,similarity with a finite similarity of 0 or more"
            )
        pair = frozenset((row[0].strip(), row[1].strip()))
        if found.get(pair, value) != value:
            raise InvalidInputError(f"line {number} of {path} contradicts an earlier line on the same two classes")
        found[pair] = value
    return {pair: value for pair, value in found.items() if len(pair) == 2}


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def from_file(path: str, class_names: Sequence[str]) -> Tensor:
    """Return (K, K) float64 similarities, 1 on the diagonal.

    Raises:
        InvalidInputError: the file is wrong, lacks a pair, or all its similarities are 0.
    """
    known = read_pairs(path)
    return _matrix(class_names, lambda a, b: known.get(frozenset((class_names[a], class_names[b]))), path)


def from_wordnet(names: Sequence[str]) -> Tensor:
    """Return (K, K) float64 similarities 1 / (shortest path between the two in WordNet + 1), 1 on the diagonal.

    Args:
        names: of each class: a synset ("dog.n.01"), a noun's number as ImageNet has it ("n02084071") or a noun, of
            which the first sense is meant.

    Raises:
        InvalidInputError: nltk or its corpus is not there, or WordNet has no such name.
    """
    return torch.tensor(_wordnet_rows(tuple(names)), dtype=torch.float64)


@lru_cache(maxsize=4)
def _wordnet_rows(names: tuple[str, ...]) -> tuple[tuple[float, ...], ...]:
    wordnet = load_wordnet()
    synsets = [_synset(wordnet, name) for name in names]

    def similarity(a: int, b: int) -> float | None:
        steps = synsets[a].shortest_path_distance(synsets[b])
        return None if steps is None else 1 / (steps + 1)

    matrix = _matrix(names, similarity, "WordNet")
    return tuple(tuple(row) for row in matrix.tolist())


def load_wordnet() -> Any:
    """Return nltk's WordNet reader, loaded.

    Raises:
        InvalidInputError: nltk or the corpus is not installed; the message says how to.
    """
    try:
        wordnet: Any = import_module("nltk.corpus").wordnet
        wordnet.ensure_loaded()
    except (ImportError, LookupError, OSError) as error:
        what = "nltk is not installed" if isinstance(error, ImportError) else "nltk's WordNet corpus is not installed"
        raise InvalidInputError(
            f"introspectability_weighted cannot ask WordNet, as {what}: give a file as `similarities`, or run "
            "`pip install nltk` and `python -m nltk.downloader wordnet` where evaluators run"
        ) from error
    return wordnet


def _synset(wordnet: Any, name: str) -> Any:
    refusal: type[Exception] = import_module("nltk.corpus.reader.wordnet").WordNetError
    try:
        if name[:1] == "n" and name[1:].isdigit():
            found = _by_number(wordnet, int(name[1:]))
            if found is None:
                raise ValueError(name)
            return found
        if name.count(".") >= 2:
            return wordnet.synset(name)
        return wordnet.synsets(name.replace(" ", "_"), pos="n")[0]
    except (refusal, ValueError, IndexError) as error:
        raise InvalidInputError(
            f"WordNet has no noun {name!r}; give the classes' WordNet names as `wordNetNames`, in their order"
        ) from error


def _by_number(wordnet: Any, number: int) -> Any:
    """Return the noun of that number; None, of which nltk also warns, if there is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return wordnet.synset_from_pos_and_offset("n", number)


def _matrix(names: Sequence[str], similarity: Any, source: str) -> Tensor:
    result = torch.eye(len(names), dtype=torch.float64)
    for a, b in combinations(range(len(names)), 2):
        value = similarity(a, b)
        if value is None:
            raise InvalidInputError(
                f"{source} has no similarity of the classes {names[a]!r} and {names[b]!r}; every pair is needed"
            )
        result[a, b] = result[b, a] = value
    if len(names) > 1 and float(result.sum()) == len(names):
        raise InvalidInputError(f"{source} says that all similarities are 0, so no pair would count")
    return result
