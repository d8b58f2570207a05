"""What a misspelt word was probably meant to be."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Sequence

from xnas_core.api.model_tree import DocumentPath, aliases, dotted, model_at, walk_fields
from xnas_core.api.resource import ArchitectureSearch


def nearest(word: str, known: Iterable[str]) -> str | None:
    """Return the known word that is most like `word`, letter case and `_`, `-` aside, or the only one it begins."""
    plain: dict[str, str] = {}
    for name in known:
        plain.setdefault(_plain(name), name)
    close = difflib.get_close_matches(_plain(word[:128]), plain, 1, cutoff=0.6)
    if close:
        return plain[close[0]]
    longer = [name for spelt, name in plain.items() if len(word) > 2 and spelt.startswith(_plain(word))]
    return longer[0] if len(longer) == 1 else None


def _plain(word: str) -> str:
    return re.sub(r"[-_ ]", "", word).lower()


def meant_field(path: DocumentPath) -> str | None:
    """Return the field that an unknown one was meant to be: one beside it, or the only one of that name elsewhere."""
    model = model_at(ArchitectureSearch, path[:-1])
    word = str(path[-1])
    beside = nearest(word, aliases(model)) if model is not None else None
    if beside is not None and _plain(beside) == _plain(word):
        return beside
    elsewhere = [name for name, _ in walk_fields(ArchitectureSearch) if name.rpartition(".")[2] == word]
    elsewhere = [name for name in elsewhere if name.startswith("spec.")]
    return elsewhere[0] if len(elsewhere) == 1 else beside


def known_fields(path: DocumentPath) -> Sequence[str]:
    """Return the fields that are allowed where `path` ends."""
    model = model_at(ArchitectureSearch, path)
    return list(aliases(model)) if model is not None else []


def unknown_field(path: DocumentPath) -> tuple[str, str | None]:
    """Return the sentence about an unknown field, and the suggestion in it."""
    meant = meant_field(path)
    if meant is not None:
        return f'unknown field; did you mean "{meant}"?', meant
    where = dotted(path[:-1]) or "the top level"
    return f"unknown field; {where} has {', '.join(known_fields(path[:-1]))}", None


def unknown_name(what: str, name: str, known: Iterable[str]) -> tuple[str, str | None]:
    """Return the sentence about an unknown name of a plug-in, metric or column, and the suggestion in it."""
    names = sorted(known)
    meant = nearest(name, names)
    shown = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    hint = f'; did you mean "{meant}"?' if meant else ""
    return f'there is no {what} "{name[:128]}"{hint} (known: {shown or "none"})', meant
