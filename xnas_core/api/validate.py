"""Reading and checking files: every mistake in one run, with line, field, what is wrong and what would be right."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from xnas_core.api import semantics
from xnas_core.api.base import API_VERSION, KIND
from xnas_core.api.model_tree import DocumentPath, aliases, apply_defaults, dotted, model_at
from xnas_core.api.problems import Problem, Severity, SpecError, errors
from xnas_core.api.resource import ArchitectureSearch
from xnas_core.api.rules import RULES, Rule
from xnas_core.api.spec import ArchitectureSearchSpec
from xnas_core.api.translate import shown, translate
from xnas_core.api.yaml_tree import MAX_BYTES, Tree, YamlFlawError, read_documents


@dataclass(frozen=True, slots=True)
class LoadedSearch:
    """A valid search from a file: the line it begins on, what to warn of, and the document as it was written."""

    search: ArchitectureSearch
    line: int
    warnings: tuple[Problem, ...]
    document: dict[str, Any]


def validate_file(path: str | Path) -> list[Problem]:
    """Return every problem in a file, in the order of lines; an empty list means that it is right."""
    return _read(Path(path), str(path))[1]


def load_searches(path: str | Path, *, here: bool = True) -> list[LoadedSearch]:
    """Return all searches of a file.

    Args:
        path: the file.
        here: see `check_document`.

    Raises:
        SpecError: there is a mistake anywhere in it.
    """
    loaded, problems = _read(Path(path), str(path), here=here)
    if errors(problems):
        raise SpecError(path, problems)
    return loaded


def load_search(path: str | Path) -> ArchitectureSearch:
    """Return the only search of a file. Paths in it are as written; see `resolve_paths`.

    Raises:
        SpecError: there is a mistake in it, or it holds more than one search.
    """
    return load_one(path).search


def load_one(path: str | Path, *, here: bool = True) -> LoadedSearch:
    """Return the only search of a file with all that is known of it; see `load_searches` and `load_search`."""
    loaded = load_searches(path, here=here)
    if len(loaded) > 1:
        message = f"holds {len(loaded)} searches, but one is needed; put each into a file of its own"
        raise SpecError(path, [Problem(str(path), loaded[1].line, 1, "", message)])
    return loaded[0]


def _read(path: Path, name: str, *, here: bool = True) -> tuple[list[LoadedSearch], list[Problem]]:
    try:
        text = _text(path)
    except ValueError as error:
        return [], [Problem(name, 0, 0, "", str(error))]
    try:
        trees, flaws = read_documents(text)
    except YamlFlawError as error:
        flaw = error.flaw
        return [], [Problem(name, flaw.line, flaw.column, "", flaw.message)]
    problems = [Problem(name, flaw.line, flaw.column, dotted(flaw.path), flaw.message) for flaw in flaws]
    if not trees:
        problems.append(Problem(name, 0, 0, "", f"is empty; it must hold an {KIND} (see `xnas init`)"))
    loaded: list[LoadedSearch] = []
    for tree in trees:
        found, search = _check(tree, name, path.parent, here=here)
        problems += found
        if search is not None:
            loaded.append(LoadedSearch(search, tree.line, tuple(found), tree.plain()))
    problems.sort(key=lambda problem: (problem.line, problem.column))
    return loaded, problems


def _text(path: Path) -> str:
    """Return the file's text; raise ValueError with a sentence."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise ValueError("there is no such file") from None
    except IsADirectoryError:
        raise ValueError("is a folder; name a YAML file in it") from None
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise ValueError("is larger than 1 MiB; a search is a few hundred lines at most")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError("is not text in UTF-8; is it the right file?") from None
    if "\0" in text:
        raise ValueError("is a binary file; a search is plain UTF-8 text")
    return text


def _check(tree: Tree, file: str, folder: Path, *, here: bool) -> tuple[list[Problem], ArchitectureSearch | None]:
    """Return the problems of one document, and the search if there is no error."""
    document = tree.plain()
    other = _other_kind(tree, document, file)
    if other is not None:
        return [other], None
    search, findings = check_document(document, folder, here=here)
    problems = []
    for finding in findings:
        line, column = position(tree, finding.path)
        field = dotted(finding.path)
        problems.append(Problem(file, line, column, field, finding.message, finding.suggestion, finding.severity))
    return problems, search


def _other_kind(tree: Tree, document: Any, file: str) -> Problem | None:
    """Return the problem of a document that is something else altogether; its fields are not looked at then."""
    if not isinstance(document, dict):
        message = f"is {shown(document)}, but must be an {KIND}: a map of apiVersion, kind, metadata and spec"
        return Problem(file, tree.line, tree.column, "", message)
    kind = document.get("kind")
    if isinstance(kind, str) and kind != KIND and kind.lower() != KIND.lower():
        line, column = position(tree, ("kind",))
        message = f'is "{kind[:60]}", but only kind {KIND} ({API_VERSION}) is understood here'
        return Problem(file, line, column, "kind", message)
    return None


def check_document(
    document: Any, folder: Path, *, here: bool = True
) -> tuple[ArchitectureSearch | None, list[semantics.Finding]]:
    """Check one document (plain dicts, lists and scalars).

    Args:
        document: the resource.
        folder: what relative paths start from.
        here: whether data, tables and evaluator plug-ins are those of this machine; otherwise they are not looked at.

    Returns:
        (the search, or None if there is an error; findings: mistakes and warnings).
    """
    search: ArchitectureSearch | None = None
    findings: list[semantics.Finding] = []
    try:
        search = ArchitectureSearch.model_validate_json(json.dumps(document), by_alias=True, by_name=False)
    except ValidationError as error:
        for fault in translate(error, document):
            findings.append(semantics.Finding(fault.path, fault.message, fault.suggestion))
    given = document.get("spec") if isinstance(document, dict) else None
    if isinstance(given, dict):
        spec = apply_defaults(given, ArchitectureSearchSpec)
        findings += _broken_rules(spec, [finding.path for finding in findings])
        further = semantics.check(spec, given, folder, [finding.path for finding in findings], here=here)
        # About an unknown name, what is known says more than which characters are allowed.
        replaced = {finding.path for finding in further}
        findings = [finding for finding in findings if finding.path not in replaced]
        findings += further
    failed = any(finding.severity is Severity.ERROR for finding in findings)
    return (None if failed else search), findings


def _broken_rules(spec: Any, faulty: Collection[DocumentPath]) -> Iterator[semantics.Finding]:
    for rule in RULES:
        for path, value in _instances({"spec": spec}, rule.path):
            if _touched(rule, path, faulty):
                continue
            if not rule.holds(value):
                at = (*path, *rule.field.split(".")) if rule.field else path
                yield semantics.Finding(at, rule.message)


def _instances(document: Any, path: str) -> list[tuple[DocumentPath, Any]]:
    """Return the values that a rule's path stands for."""
    found: list[tuple[DocumentPath, Any]] = [((), document)]
    for part in path.split("."):
        name = part.removesuffix("[]")
        found = [((*p, name), v[name]) for p, v in found if isinstance(v, dict) and name in v]
        if part.endswith("[]"):
            found = [((*p, i), child) for p, v in found if isinstance(v, list) for i, child in enumerate(v)]
    return found


def _touched(rule: Rule, path: DocumentPath, faulty: Collection[DocumentPath]) -> bool:
    """Return whether what the rule reads has a mistake already, so that the rule would only repeat it."""
    if any(bad == path[: len(bad)] for bad in faulty):
        return True
    if rule.presence:
        model = model_at(ArchitectureSearch, path)
        known = aliases(model) if model is not None else {}
        return any(bad[:-1] == path and bad[-1] not in known for bad in faulty)
    for read in rule.reads:
        full = (*path, *read.split("."))
        if any(bad[: len(full)] == full[: len(bad)] for bad in faulty):
            return True
    return False


def position(tree: Tree, path: Sequence[str | int]) -> tuple[int, int]:
    """Return line and column of a field's name or a list's entry; of what holds it, where it is absent."""
    place, here = (tree.line, tree.column), tree
    for part in path:
        if isinstance(here.value, dict) and isinstance(part, str) and part in here.value:
            place, here = here.keys[part], here.value[part]
        elif isinstance(here.value, list) and isinstance(part, int) and part < len(here.value):
            here = here.value[part]
            place = (here.line, here.column)
        else:
            return place
    return place
