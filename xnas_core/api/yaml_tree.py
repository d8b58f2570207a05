"""YAML as a tree that knows its lines, read with YAML 1.2's core types and with limits.

Why not `yaml.safe_load`: it loses lines, keeps the last of two equal keys, expands aliases without end, reads `no` as
false and `1e-3` as text. Here the events of PyYAML's parser are put together by hand; nothing is ever constructed from
a tag.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any

import yaml

MAX_BYTES = 1 << 20
MAX_DEPTH = 32
MAX_NODES = 20_000
"""Values in one file, aliases expanded."""
MAX_NUMBER_LENGTH = 64

_NULL = frozenset({"", "~", "null", "Null", "NULL"})
_BOOLEAN = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER = re.compile(r"[-+]?[0-9]+\Z")
_OCTAL = re.compile(r"0o[0-7]+\Z")
_HEXADECIMAL = re.compile(r"0x[0-9a-fA-F]+\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_INFINITY = re.compile(r"[-+]?\.(inf|Inf|INF)\Z")
_NAN = re.compile(r"\.(nan|NaN|NAN)\Z")

_PLAIN_ENGLISH = (
    ("found character '\\t'", "a tab is used for indentation; use spaces"),
    ("mapping values are not allowed", "there is a second ':' on this line, or the line before it is not finished"),
    ("could not find expected ':'", "a ':' is missing after a name, or the indentation is wrong"),
    ("expected <block end>", "the indentation does not fit the lines before it"),
    ("found unexpected end of stream", "a quote is opened and never closed"),
    ("expected ',' or ']'", "a ',' or the closing ']' is missing"),
    ("expected ',' or '}'", "a ',' or the closing '}' is missing"),
    ("expected the node content", "a value is missing or a bracket is left open"),
    ("that cannot start any token", "a character stands where none is allowed; quote the text"),
    ("undefined tag handle", "a tag is used; leave it out, only plain values are allowed"),
)


@dataclass(slots=True, eq=False)
class Tree:
    """One value and its place. `value` is a dict or list of trees, or a scalar. Lines and columns are from 1."""

    line: int
    column: int
    value: dict[str, Tree] | list[Tree] | str | int | float | bool | None
    keys: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Places of a mapping's keys."""
    weight: int = 1
    """Number of values at and below, aliases expanded."""
    depth: int = 1
    """Number of levels at and below."""

    def plain(self) -> Any:
        """Return the value as dicts, lists and scalars."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value


@dataclass(frozen=True, slots=True)
class Flaw:
    """A mistake in the YAML itself."""

    line: int
    column: int
    path: tuple[str | int, ...]
    message: str


class YamlFlawError(Exception):
    """The text cannot be read on from here."""

    def __init__(self, line: int, column: int, message: str) -> None:
        super().__init__(message)
        self.flaw = Flaw(line, column, (), message)


@dataclass(slots=True)
class _Open:
    """A mapping or list that is not closed yet."""

    tree: Tree
    path: tuple[str | int, ...]
    anchor: str | None
    key: str | None = None
    repeated: bool = False
    """The key was there before: its value is read and dropped."""


def read_documents(text: str) -> tuple[list[Tree], list[Flaw]]:
    """Return the documents of a YAML text, empty ones left out, and the flaws that can be read past.

    Raises:
        YamlFlawError: the text is not YAML, or goes over a limit.
    """
    reader = _Reader()
    try:
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            reader.take(event)
    except (ValueError, OverflowError):  # from chr() and int(), which the parser leaves uncaught
        raise YamlFlawError(0, 0, "holds an escape or version number that stands for nothing") from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        message = "holds a control character; a search is plain UTF-8 text"
        raise YamlFlawError(line, 1, message) from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        raise YamlFlawError(*place, _translate(error, text)) from None
    return reader.documents, reader.flaws


def _translate(error: yaml.MarkedYAMLError, text: str) -> str:
    problem = error.problem or error.context or "it cannot be read"
    mark = error.problem_mark
    if mark is not None:
        lines = text.splitlines()
        line = lines[mark.line] if mark.line < len(lines) else ""
        if line[: mark.column + 1].strip() == "" and "\t" in line[: mark.column + 1]:
            return "a tab is used for indentation; use spaces"
    plain = next((plain for sign, plain in _PLAIN_ENGLISH if sign in problem), problem)
    return f"not valid YAML: {plain}"


class _Reader:
    """Puts parser events together."""

    def __init__(self) -> None:
        self.documents: list[Tree] = []
        self.flaws: list[Flaw] = []
        self._stack: list[_Open] = []
        self._anchors: dict[str, Tree] = {}
        self._nodes = 0

    def take(self, event: yaml.Event) -> None:
        """Handle one event."""
        mark = event.start_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        if isinstance(event, yaml.DocumentStartEvent):
            self._anchors = {}
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event, line, column)
        elif isinstance(event, yaml.ScalarEvent):
            self._scalar(event, line, column)
        elif isinstance(event, yaml.MappingStartEvent | yaml.SequenceStartEvent):
            self._open(event, line, column)
        elif isinstance(event, yaml.MappingEndEvent | yaml.SequenceEndEvent):
            done = self._stack.pop()
            if done.anchor is not None:
                self._anchors[done.anchor] = done.tree
            self._place(done.tree)

    def _alias(self, event: yaml.AliasEvent, line: int, column: int) -> None:
        target = self._anchors.get(event.anchor or "")
        if target is None:
            raise YamlFlawError(line, column, f"*{event.anchor} refers to nothing: no &{event.anchor} ends before it")
        self._count(target.weight, line, column)
        if self._awaits_key():
            self._key(target.value, line, column)
            return
        if len(self._stack) + target.depth > MAX_DEPTH:
            raise YamlFlawError(line, column, f"nested deeper than {MAX_DEPTH} levels")
        self._place(Tree(line, column, target.value, target.keys, target.weight, target.depth))

    def _scalar(self, event: yaml.ScalarEvent, line: int, column: int) -> None:
        self._count(1, line, column)
        self._refuse_tag(event.tag, line, column)
        text = _whole(event.value)
        if text is None:
            raise YamlFlawError(line, column, "holds half of a character (a surrogate escape); write the character out")
        value = self._resolve(text, line, column) if event.implicit[0] and event.style is None else text
        if self._awaits_key():
            self._key(value, line, column)
            return
        tree = Tree(line, column, value)
        if event.anchor is not None:
            self._anchors[event.anchor] = tree
        self._place(tree)

    def _open(self, event: yaml.CollectionStartEvent, line: int, column: int) -> None:
        self._count(1, line, column)
        if self._awaits_key():
            raise YamlFlawError(line, column, "a map or list stands where a name is expected; use plain names")
        if len(self._stack) >= MAX_DEPTH:
            raise YamlFlawError(line, column, f"nested deeper than {MAX_DEPTH} levels")
        self._refuse_tag(event.tag, line, column)
        tree = Tree(line, column, {} if isinstance(event, yaml.MappingStartEvent) else [])
        self._stack.append(_Open(tree, self._here(), event.anchor))

    def _place(self, tree: Tree) -> None:
        if not self._stack:
            if tree.value is not None:
                self.documents.append(tree)
            return
        parent = self._stack[-1]
        parent.tree.weight += tree.weight
        parent.tree.depth = max(parent.tree.depth, tree.depth + 1)
        if isinstance(parent.tree.value, list):
            parent.tree.value.append(tree)
        elif isinstance(parent.tree.value, dict) and parent.key is not None:
            if not parent.repeated:
                parent.tree.value[parent.key] = tree
            parent.key = None

    def _awaits_key(self) -> bool:
        return bool(self._stack) and isinstance(self._stack[-1].tree.value, dict) and self._stack[-1].key is None

    def _key(self, value: Any, line: int, column: int) -> None:
        parent = self._stack[-1]
        if isinstance(value, dict | list):
            raise YamlFlawError(line, column, "a map or list stands where a name is expected; use plain names")
        if not isinstance(value, str):
            shown = json.dumps(value)
            self.flaws.append(Flaw(line, column, (*parent.path, shown), "a name must be text; put it in quotes"))
            value = shown
        if value == "<<":
            self.flaws.append(
                Flaw(line, column, (*parent.path, value), "merge keys are not supported; write the fields out")
            )
        parent.repeated = value in parent.tree.keys
        if parent.repeated:
            first = parent.tree.keys[value][0]
            message = f"is given twice, first on line {first}; keep one of the two"
            self.flaws.append(Flaw(line, column, (*parent.path, value), message))
        else:
            parent.tree.keys[value] = (line, column)
        parent.key = value

    def _here(self) -> tuple[str | int, ...]:
        if not self._stack:
            return ()
        top = self._stack[-1]
        if isinstance(top.tree.value, list):
            return (*top.path, len(top.tree.value))
        return (*top.path, top.key or "")

    def _refuse_tag(self, tag: str | None, line: int, column: int) -> None:
        if tag not in (None, "!"):
            self.flaws.append(
                Flaw(line, column, self._here(), f"has the tag {tag!r}; leave it out, only plain values are allowed")
            )

    def _count(self, nodes: int, line: int, column: int) -> None:
        self._nodes += nodes
        if self._nodes > MAX_NODES:
            raise YamlFlawError(line, column, f"holds more than {MAX_NODES:,} values, aliases (*name) expanded")

    def _resolve(self, text: str, line: int, column: int) -> Any:
        if text in _NULL:
            return None
        if text in _BOOLEAN:
            return _BOOLEAN[text]
        if len(text) > MAX_NUMBER_LENGTH:
            if _INTEGER.match(text) or _FLOAT.match(text):
                self.flaws.append(Flaw(line, column, self._here(), "is a number of too many digits"))
            return text
        return _number(text)


def _number(text: str) -> Any:
    """Return the number that a plain scalar stands for in YAML 1.2's core schema, or the text."""
    if _INTEGER.match(text):
        return int(text)
    if _OCTAL.match(text):
        return int(text, 8)
    if _HEXADECIMAL.match(text):
        return int(text, 16)
    if _FLOAT.match(text):
        return float(text)
    if _INFINITY.match(text):
        return float("-inf") if text.startswith("-") else float("inf")
    if _NAN.match(text):
        return float("nan")
    return text


def _whole(text: str) -> str | None:
    """Return a text with the pairs of surrogate escapes that JSON writes joined; None if half of one is left."""
    if not any("\ud800" <= character <= "\udfff" for character in text):
        return text
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        return None
