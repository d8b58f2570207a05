"""Similarities of classes: files of pairs, and WordNet; a tiny taxonomy in its place passes the same tests."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from nltk.corpus.reader.wordnet import WordNetCorpusReader
from nltk.corpus.util import LazyCorpusLoader

from tests.absent import absent
from xnas_core.errors import InvalidInputError
from xnas_core.plugins import PluginKind, load
from xnas_evaluator.objectives import class_similarity
from xnas_evaluator.objectives.class_similarity import from_file, from_wordnet

WORDNET = Path("/usr/share/wordnet")
NAMES = ("shirt", "coat", "bag")


def _file(folder: Path, text: str) -> str:
    path = folder / "pairs.csv"
    path.write_text(text, encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("heading", ["", "class,class,similarity\n", "\ufeff"])
def test_pairs_have_no_order(heading: str, tmp_path: Path) -> None:
    path = _file(tmp_path, heading + "coat,shirt,0.5\nbag, coat ,0.25\n\nshirt,bag,0\nbag,bag,1\nshirt,coat,0.5\n")
    assert from_file(path, NAMES).tolist() == [[1, 0.5, 0], [0.5, 1, 0.25], [0, 0.25, 1]]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("shirt,coat,0.5\nshirt,bag,x\n", "line 2 of .* must be class,class,similarity"),
        ("shirt,coat,-1\n", "line 1 of"),
        ("shirt,coat,nan\n", "line 1 of"),
        ("shirt,coat\n", "line 1 of"),
        ("shirt,coat,0.5\ncoat,shirt,0.4\n", "line 2 of .* contradicts"),
        ("shirt,coat,0.5\nshirt,bag,0.5\n", "no similarity of the classes 'coat' and 'bag'"),
        ("shirt,coat,0\nshirt,bag,0\ncoat,bag,0\n", "all similarities are 0"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(text: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=says):
        from_file(_file(tmp_path, text), NAMES)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="cannot be read"):
        from_file(str(tmp_path / "none.csv"), NAMES)


class _WordNetError(Exception):
    """As nltk's own: not a LookupError."""


class _Synset:
    def __init__(self, *path: str) -> None:
        self.path = path

    def shortest_path_distance(self, other: _Synset) -> int:
        common = sum(a == b for a, b in zip(self.path, other.path, strict=False))
        return len(self.path) + len(other.path) - 2 * common


_TAXONOMY = {
    "dog.n.01": _Synset("animal", "canine", "dog"),
    "wolf.n.01": _Synset("animal", "canine", "wolf"),
    "cat.n.01": _Synset("animal", "feline", "cat"),
}


class _Reader:
    def ensure_loaded(self) -> None:
        pass

    def synset(self, name: str) -> _Synset:
        if name not in _TAXONOMY:
            raise _WordNetError(f"no lemma {name}")
        return _TAXONOMY[name]

    def synset_from_pos_and_offset(self, pos: str, offset: int) -> _Synset | None:
        assert pos == "n"
        return _TAXONOMY["dog.n.01"] if offset == 2084071 else None

    def synsets(self, name: str, pos: str) -> list[_Synset]:
        assert pos == "n"
        return [_TAXONOMY[f"{name}.n.01"]] if f"{name}.n.01" in _TAXONOMY else []


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The WordNet of Debian's packages wordnet-base and wordnet-sense-index, as nltk wants it."""
    if not (WORDNET / "data.noun").exists() or not (WORDNET / "index.sense").exists():
        absent("WordNet is absent: apt-get install wordnet-base wordnet-sense-index")
    folder = tmp_path_factory.mktemp("nltk")
    corpus = folder / "corpora" / "wordnet"
    corpus.mkdir(parents=True)
    for file in (path for path in WORDNET.iterdir() if path.is_file()):
        shutil.copy(file, corpus)  # nltk follows no links out of its folder
    # Names of the lexicographers' files, which Debian leaves out: nltk reads them, and nobody here asks for them.
    (corpus / "lexnames").write_text("".join(f"{number:02d}\tnoun.any\t1\n" for number in range(45)))
    return folder


@pytest.fixture
def real_wordnet(corpora: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nltk with all of WordNet."""
    monkeypatch.setattr("nltk.data.path", [str(corpora)])
    monkeypatch.setattr("nltk.corpus.wordnet", LazyCorpusLoader("wordnet", WordNetCorpusReader, _NoOther()))


class _NoOther:
    """In place of the Open Multilingual WordNet."""

    def ensure_loaded(self) -> None:
        pass


@pytest.fixture
def wordnet(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Nltk with the tiny taxonomy."""
    reader = _Reader()
    modules = {name: ModuleType(name) for name in ("nltk", "nltk.corpus", "nltk.corpus.reader")}
    modules["nltk.corpus.reader.wordnet"] = ModuleType("nltk.corpus.reader.wordnet")
    vars(modules["nltk.corpus"])["wordnet"] = reader
    vars(modules["nltk.corpus.reader.wordnet"])["WordNetError"] = _WordNetError
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    class_similarity._wordnet_rows.cache_clear()
    yield reader
    class_similarity._wordnet_rows.cache_clear()


@pytest.fixture(params=["real_wordnet", "wordnet"])
def any_wordnet(request: pytest.FixtureRequest) -> Iterator[None]:
    """One after the other."""
    class_similarity._wordnet_rows.cache_clear()
    request.getfixturevalue(request.param)
    yield
    class_similarity._wordnet_rows.cache_clear()


@pytest.mark.usefixtures("any_wordnet")
def test_wordnet_similarity_is_one_over_path_and_one() -> None:
    expected = [[1, 1 / 3, 1 / 5], [1 / 3, 1, 1 / 5], [1 / 5, 1 / 5, 1]]
    assert from_wordnet(("n02084071", "wolf.n.01", "cat")).tolist() == expected


@pytest.mark.usefixtures("any_wordnet")
@pytest.mark.parametrize("name", ["uni corn", "unicorns.n.01", "n00000001"])
def test_what_wordnet_does_not_know_is_named(name: str) -> None:
    with pytest.raises(InvalidInputError, match=f"WordNet has no noun '{name}'"):
        from_wordnet(("dog", name))


def test_without_nltk_the_user_learns_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nltk.corpus", None)
    with pytest.raises(InvalidInputError, match=r"nltk is not installed: give a file .*pip install nltk"):
        load(PluginKind.OBJECTIVE, "introspectability_weighted")().check({})


def test_without_the_corpus_the_user_learns_what_to_do(wordnet: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise LookupError("Resource wordnet not found")

    monkeypatch.setattr(wordnet, "ensure_loaded", missing)
    with pytest.raises(InvalidInputError, match="corpus is not installed"):
        load(PluginKind.OBJECTIVE, "introspectability_weighted")().check({})
