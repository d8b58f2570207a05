"""Checks that need the plug-ins, the metrics or the files: what no schema can see.

Each check looks at a document with defaults applied, and only at parts that have no mistake yet (`Checker.sound`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xnas_core import objectives, plugins
from xnas_core.api.benchmark_table import TableError, check_values, read_head
from xnas_core.api.declared import Kind, Parameter, UnknownParameterError
from xnas_core.api.explainer_parameters import EXPLAINER_PARAMETERS, contradiction, make_plug_in
from xnas_core.api.metric_parameters import METRIC_PARAMETERS, judged
from xnas_core.api.model_tree import DocumentPath
from xnas_core.api.paths import resolve
from xnas_core.api.problems import Severity
from xnas_core.api.rules import STATIC_METRICS
from xnas_core.api.suggest import unknown_name
from xnas_core.errors import InvalidInputError
from xnas_core.plugins import PluginKind
from xnas_core.spaces.base import DataShape, SearchSpace

_SHAPES = {
    "digits": DataShape(1, 8, 8, 10),
    "lines": DataShape(1, 12, 12, 4),
    "mnist": DataShape(1, 28, 28, 10),
    "fashion-mnist": DataShape(1, 28, 28, 10),
    "cifar10": DataShape(3, 32, 32, 10),
}
_TABLE_SHAPE = DataShape(3, 32, 32, 10)
_UNKNOWN_SHAPE = DataShape(3, 128, 128, 10)
"""For data that nobody has read yet: large enough that only the parameters can be wrong."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A mistake or warning at a path of the document."""

    path: DocumentPath
    message: str
    suggestion: str | None = None
    severity: Severity = Severity.ERROR


@dataclass(slots=True)
class Checker:
    """One document under check.

    Attributes:
        spec: the spec, defaults applied. Parts named in `faulty` may have any type.
        given: the spec as written, to tell what was asked for from what is default.
        folder: what relative paths start from.
        faulty: paths of mistakes found before.
        here: data, tables and evaluator plug-ins are those of this machine. Otherwise only an evaluator can tell.
    """

    spec: Mapping[str, Any]
    given: Mapping[str, Any]
    folder: Path
    faulty: Collection[DocumentPath]
    here: bool = True
    findings: list[Finding] = field(default_factory=list)
    _names: dict[PluginKind, list[str]] = field(default_factory=dict)

    def run(self) -> list[Finding]:
        """Return all findings."""
        space = self._space()
        self._dataset()
        columns = self._table(space)
        self._objectives(columns)
        self._metrics(columns)
        self._constraints(columns)
        self._pairs()
        self._explanations()
        self._explainers(columns)
        self._warnings()
        return self.findings

    def sound(self, *path: str | int) -> bool:
        """Return whether nothing is wrong at, above or below a path (below "spec")."""
        full = ("spec", *path)
        return not any(bad[: len(full)] == full[: len(bad)] for bad in self.faulty)

    def get(self, *path: str | int) -> Any:
        """Return the value at a path of the spec, or None where it is absent or has a mistake."""
        if not self.sound(*path):
            return None
        here: Any = self.spec
        for part in path:
            if isinstance(part, str) and not (isinstance(here, Mapping) and part in here):
                return None
            here = here[part]
        return here

    def names(self, kind: PluginKind) -> list[str]:
        """Return the names of all plug-ins of a kind, looked up once: that reads every installed package's metadata."""
        if kind not in self._names:
            self._names[kind] = plugins.names(kind)
        return self._names[kind]

    def word(self, *path: str | int) -> str | None:
        """Return the text at a path even where its characters are wrong, or None where there is no text."""
        here: Any = self.spec
        for part in path:
            if isinstance(part, str) and not (isinstance(here, Mapping) and part in here):
                return None
            here = here[part]
        return here if isinstance(here, str) and here else None

    def say(self, path: DocumentPath, message: str, suggestion: str | None = None) -> None:
        """Record a mistake at a path below spec."""
        self.findings.append(Finding(("spec", *path), message, suggestion))

    def warn(self, path: DocumentPath, message: str) -> None:
        """Record a warning at a path below spec."""
        self.findings.append(Finding(("spec", *path), message, None, Severity.WARNING))

    def _known(self, kind: PluginKind, what: str, path: DocumentPath, name: str) -> bool:
        known = self.names(kind)
        if name not in known:
            self.say(path, *unknown_name(what, name, known))
        return name in known

    def _items(self, name: str) -> list[tuple[int, Mapping[str, Any]]]:
        """Return the sound items of a list of the spec."""
        items = self.spec.get(name)
        if not isinstance(items, list):
            return []
        return [(i, item) for i, item in enumerate(items) if isinstance(item, Mapping)]

    def _space(self) -> SearchSpace | None:
        name = self.word("searchSpace", "name")
        if name is None or not self._known(PluginKind.SPACE, "search space", ("searchSpace", "name"), name):
            return None
        parameters = self.get("searchSpace", "parameters")
        if parameters is None:
            return None
        try:
            space: SearchSpace = plugins.load(PluginKind.SPACE, name)(dict(parameters), self._shape())
        except InvalidInputError as error:
            parameter = getattr(error, "parameter", None)
            path: DocumentPath = ("searchSpace", "name")
            if parameter is not None:
                inside = ("parameters", parameter) if parameter in parameters else ("parameters",)
                path = ("searchSpace", *inside)
            self.say(path, str(error))
        except Exception as error:  # noqa: BLE001 - a plug-in may raise anything; it is the user's to know
            self.say(("searchSpace", "name"), f"the search space {name} failed: {type(error).__name__}: {error}")
        else:
            return space
        return None

    def _shape(self) -> DataShape:
        if self.get("dataset") is None:
            return _TABLE_SHAPE
        return _SHAPES.get(str(self.get("dataset", "name")), _UNKNOWN_SHAPE)

    def _dataset(self) -> None:
        if not self.here:
            return
        name = self.word("dataset", "name")
        if name is not None:
            self._known(PluginKind.DATASET, "data set", ("dataset", "name"), name)
        if self.get("dataset", "volume") is not None:
            return  # the paths are those inside an evaluator's pod
        wanted = {("path",): "folder", ("source", "idx"): "folder", ("source", "imageFolder"): "folder"}
        for place, kind in {**wanted, ("source", "npz"): "file"}.items():
            path = self.get("dataset", *place)
            if not isinstance(path, str) or path.startswith("s3://"):
                continue
            found = Path(resolve(path, self.folder))
            if not (found.is_dir() if kind == "folder" else found.is_file()):
                other = "is not a" if found.exists() else "does not exist; it must be a"
                self.say(("dataset", *place), f'"{path}" {other} {kind} (relative paths start at the file\'s folder)')

    def _table(self, space: SearchSpace | None) -> Collection[str] | None:
        """Return the columns of the benchmark's table; None without one, () where it cannot be read."""
        if self.spec.get("benchmark") is None:
            return None
        name, key = self.get("benchmark", "table"), self.get("benchmark", "key")
        if not self.here or not isinstance(name, str) or not isinstance(key, str):
            return ()
        table = Path(resolve(name, self.folder))
        try:
            if name.startswith("s3://"):
                raise TableError("is an s3:// address, but must be a file on this machine")
            head = read_head(table, key)
            if key not in head.columns:
                self.say(("benchmark", "key"), *unknown_name("column", key, head.columns))
                return head.columns
            if space is not None:
                self._decodes(space, head.first_key)
            check_values(table, key, self._columns_used(head.columns))
        except TableError as error:
            self.say(("benchmark", "table"), f'the table "{name}" {error}')
            return ()
        return head.columns

    def _decodes(self, space: SearchSpace, first_key: str) -> None:
        try:
            space.decode(first_key)
        except InvalidInputError as error:
            self.say(("benchmark", "key"), f"the column does not hold architectures of {space.name}: {error}")

    def _columns_used(self, columns: Collection[str]) -> list[str]:
        used = [item.get("metric", item.get("name")) for _, item in self._items("objectives")]
        used += [item.get("metric") for _, item in self._items("constraints")]
        return sorted({name for name in used if isinstance(name, str) and name in columns})

    def _objectives(self, columns: Collection[str] | None) -> None:
        for index, objective in self._items("objectives"):
            field_name = "metric" if "metric" in objective else "name"
            place: DocumentPath = ("objectives", index, field_name)
            name = self.word(*place)
            if name is None:
                continue
            parameters = self.get("objectives", index, "parameters") or {}
            if columns is not None:
                if columns and name not in {*columns, *STATIC_METRICS}:
                    self.say(place, *unknown_name("column", name, columns))
                if parameters:
                    message = "a column of a table takes no parameters; remove them"
                    self.say(("objectives", index, "parameters"), message)
                continue
            if self._measurable("objective", place, name):
                self._parameters(("objectives", index, "parameters"), name, METRIC_PARAMETERS, parameters)
                self._direction(index, name)

    def _metrics(self, columns: Collection[str] | None) -> None:
        """Check the further metrics, unless a table answers or nothing is trained: then they are ignored."""
        if columns is not None or self.spec.get("dataset") is None:
            return
        for index, item in self._items("metrics"):
            place: DocumentPath = ("metrics", index, "metric" if "metric" in item else "name")
            name = self.word(*place)
            if name is None:
                continue
            own = item.get("name")
            if own != name and own in objectives.METRICS:
                message = f"{own} is another metric; give what is measured here a name of its own"
                self.say(("metrics", index, "name"), message)
            if self._measurable("metric", place, name):
                parameters = self.get("metrics", index, "parameters") or {}
                self._parameters(("metrics", index, "parameters"), name, METRIC_PARAMETERS, parameters)

    def _measurable(self, what: str, place: DocumentPath, name: str) -> bool:
        """Return whether the name is a built-in metric; say so where it is not a plug-in's either."""
        known = {*objectives.METRICS, *self.names(PluginKind.OBJECTIVE)}
        if self.here and name not in known:
            self.say(place, *unknown_name(what, name, known))
        return name in objectives.METRICS

    def _parameters(
        self,
        path: DocumentPath,
        owner: str,
        declared: Mapping[str, Mapping[str, Parameter]],
        parameters: Mapping[str, Any],
    ) -> None:
        known = declared.get(owner, {})
        for name, value in parameters.items():
            if not self.sound(*path, name):
                continue
            if not known:
                self.say((*path, name), f"{owner} takes no parameters; remove it")
            elif name not in known:
                self.say((*path, name), *unknown_name(f"{owner} parameter", name, known))
            elif (wrong := known[name].wrong(value)) is not None:
                self.say((*path, name), f"is {value!r}, but {wrong}")
            elif self.here and known[name].kind is Kind.EXPLAINER:
                self._known(PluginKind.EXPLAINER, "explainer", (*path, name), value)
            elif self.here and known[name].kind is Kind.PATH and self.get("dataset", "volume") is None:
                self._file((*path, name), value)
        if parameters.get("layers") == "named" and "layers" in known and not parameters.get("layerNames"):
            self.say((*path, "layers"), "is named, so layerNames must say which; give it, or choose other layers")

    def _file(self, path: DocumentPath, value: str) -> None:
        found = Path(resolve(value, self.folder))
        if not found.is_file():
            other = "is not a" if found.exists() else "does not exist; it must be a"
            self.say(path, f'"{value}" {other} file (relative paths start at the file\'s folder)')

    def _direction(self, index: int, metric: str) -> None:
        direction = self.get("objectives", index, "direction")
        better = objectives.METRICS[metric].direction.value
        if direction is not None and direction != better:
            self.warn(("objectives", index, "direction"), f"{metric} is better with {better}; this looks for the worst")

    def _constraints(self, columns: Collection[str] | None) -> None:
        items = [*self._items("objectives"), *self._items("metrics")]
        named = {item["name"] for _, item in items if isinstance(item.get("name"), str)}
        if columns is None:
            known = {*objectives.METRICS, *self.names(PluginKind.OBJECTIVE)}
        else:
            known = {*columns, *STATIC_METRICS} if columns else set()
        if not self.here:
            known = set()
        for index, _ in self._items("constraints"):
            name = self.word("constraints", index, "metric")
            if name is not None and known and name not in known | named:
                self.say(("constraints", index, "metric"), *unknown_name("metric", name, known | named))

    def _pairs(self) -> None:
        """Check what can be said of class pairs without the data; whoever has them checks the names."""
        pairs = self.get("training", "introspectabilityRegularizer", "pairs")
        shape = _SHAPES.get(str(self.get("dataset", "name")))
        for index, pair in enumerate(pairs or ()):
            place: DocumentPath = ("training", "introspectabilityRegularizer", "pairs", index, "classes")
            first, second = (str(reference) for reference in pair["classes"])
            if first == second:
                self.say(place, f'names the class "{first}" twice; a pair needs two')
            for position, reference in enumerate(pair["classes"]):
                if shape is not None and isinstance(reference, int) and reference >= shape.classes:
                    text = f"there is no class {reference}: the data have {shape.classes}, numbered from 0"
                    self.say((*place, position), text)

    def _explanations(self) -> None:
        methods = self.get("explanations", "methods") if self.here else None
        for index, name in enumerate(methods or ()):
            self._known(PluginKind.EXPLAINER, "explainer", ("explanations", "methods", index), name)

    def _explainers(self, columns: Collection[str] | None) -> None:
        """Check the explainers' parameters; those of a plug-in where it is installed."""
        trains = columns is None and self.spec.get("dataset") is not None and self.sound("explanations")
        for index, _ in self._items("explainers"):
            place: DocumentPath = ("explainers", index)
            name = self.word(*place, "name")
            if name is None:
                continue
            if self.here and not self._known(PluginKind.EXPLAINER, "explainer", (*place, "name"), name):
                continue
            parameters = self.get(*place, "parameters") or {}
            if name in EXPLAINER_PARAMETERS:
                self._parameters((*place, "parameters"), name, EXPLAINER_PARAMETERS, parameters)
                self._fits(place, name, parameters)
            elif self.here and parameters:
                self._plug_in((*place, "parameters"), name, parameters)
            if trains and not self._uses(name):
                message = f"neither explanations nor a built-in metric uses {name}, only `xnas explain` may"
                self.warn((*place, "name"), message)

    def _fits(self, place: DocumentPath, explainer: str, parameters: Mapping[str, Any]) -> None:
        if (found := contradiction(explainer, parameters)) is not None:
            self.say((*place, "parameters", found[0]), found[1])
        shape, window = _SHAPES.get(str(self.get("dataset", "name"))), parameters.get("window")
        if explainer != "occlusion" or shape is None or not isinstance(window, int):
            return
        if window > (side := min(shape.height, shape.width)):
            message = f"is {window}, but must be at most {side}, the side of the images in pixels"
            self.say((*place, "parameters", "window"), message)

    def _plug_in(self, path: DocumentPath, name: str, parameters: Mapping[str, Any]) -> None:
        try:
            make_plug_in(name, plugins.load(PluginKind.EXPLAINER, name), parameters)
        except ImportError:
            return  # it needs the evaluator's packages, and this may be a machine without them
        except UnknownParameterError as error:
            self.say((*path, error.parameter), *unknown_name(f"{name} parameter", error.parameter, error.known))
        except InvalidInputError as error:
            self.say(path, str(error))
        except Exception as error:  # noqa: BLE001 - a plug-in may raise anything; it is the user's to know
            self.say(path, f"the explainer {name} failed: {type(error).__name__}: {error}")

    def _uses(self, explainer: str) -> bool:
        methods = self.get("explanations", "methods") if self.get("explanations", "scope") != "none" else ()
        items = [item for kind in ("objectives", "metrics", "constraints") for _, item in self._items(kind)]
        given = [(str(item.get("metric", item.get("name"))), item.get("parameters")) for item in items]
        return explainer in {*(methods or ()), *judged((m, p if isinstance(p, Mapping) else {}) for m, p in given)}

    def _warnings(self) -> None:
        population, most = self.get("algorithm", "populationSize"), self.get("limits", "maxEvaluations")
        evolves = self.get("algorithm", "name") != "random"
        if evolves and isinstance(population, int) and isinstance(most, int) and population > most:
            message = f"{population} is more than limits.maxEvaluations ({most}): no offspring will be made"
            self.warn(("algorithm", "populationSize"), message)
        if self.spec.get("benchmark") is not None:
            for name in ("training", "explanations", "explainers", "metrics"):
                if self.given.get(name) is not None and self.get(name, "scope") != "none":
                    self.warn((name,), "is ignored: a benchmark table answers, so nothing is trained or explained")
        elif self.spec.get("dataset") is None and self.given.get("metrics"):
            self.warn(("metrics",), "is ignored: without a dataset nothing is trained, so nothing can be measured")


def check(
    spec: Mapping[str, Any],
    given: Mapping[str, Any],
    folder: Path,
    faulty: Collection[DocumentPath],
    *,
    here: bool = True,
) -> list[Finding]:
    """Return all findings in a spec document with defaults applied; see Checker."""
    return Checker(spec, given, folder, faulty, here).run()
