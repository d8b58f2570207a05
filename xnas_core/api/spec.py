"""The spec of an ArchitectureSearch: what a researcher writes (architecture.md, "The resource")."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import Field, StringConstraints

from xnas_core.api.base import Count, MetricName, Model, Name, Parameters, Path, Probability, Seconds
from xnas_core.api.explaining import ExplainerSpec, ExplanationsSpec


class Direction(StrEnum):
    """Which way an objective improves."""

    MAXIMIZE = "maximize"
    MINIMIZE = "minimize"


class SearchSpaceSpec(Model):
    """The search space and its parameters."""

    name: Name
    """Name of a built-in space (nas-bench-201, mobile) or of a plug-in."""
    parameters: Parameters = {}
    """Parameters of the space; see `xnas validate` or the space's page for names and bounds."""


class PersistentVolumeClaimSource(Model):
    """A claim in the search's namespace."""

    claim_name: Name
    """Name of the PersistentVolumeClaim."""
    sub_path: Path | None = None
    """Folder inside the volume."""


class DatasetVolume(Model):
    """A volume that is mounted read-only at /data in evaluator pods."""

    persistent_volume_claim: PersistentVolumeClaimSource
    """The claim to mount."""


class DatasetSource(Model):
    """Where to read a data set of one's own from. Exactly one of the fields is set."""

    idx: Path | None = None
    """Folder with the four IDX files of MNIST's layout, plain or gzipped."""
    image_folder: Path | None = None
    """Folder with train/<class>/* and, optionally, test/<class>/* images (PNG or JPEG)."""
    npz: Path | None = None
    """File with arrays x_train, y_train and, optionally, x_test, y_test; on a cluster also s3://BUCKET/KEY."""


class DatasetSpec(Model):
    """The data. Exactly one of name and source is set."""

    name: Name | None = None
    """digits, lines, mnist, fashion-mnist, cifar10 or a plug-in's name."""
    source: DatasetSource | None = None
    """A data set of one's own."""
    volume: DatasetVolume | None = None
    """Volume mounted at /data (cluster only)."""
    path: Path | None = None
    """Folder in which a named data set's files are looked for first (then XNAS_DATA, then system folders)."""
    validation_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Share of the training split held out to score candidates; stratified and seeded."""
    training_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the remaining training split that is used; stratified and seeded."""


class OptimizerName(StrEnum):
    """Optimisers of torch.optim."""

    SGD = "sgd"
    ADAM = "adam"
    ADAMW = "adamw"


class OptimizerSpec(Model):
    """The optimiser and its settings."""

    name: OptimizerName = OptimizerName.SGD
    """sgd, adam or adamw."""
    learning_rate: Annotated[float, Field(gt=0, le=100)] = 0.1
    """Peak learning rate."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Momentum of sgd; ignored by adam and adamw."""
    nesterov: bool = True
    """Nesterov momentum of sgd; ignored by adam and adamw."""
    weight_decay: Annotated[float, Field(ge=0, le=10)] = 0.0005
    """L2 penalty (sgd, adam) or decoupled weight decay (adamw)."""


class ScheduleName(StrEnum):
    """Learning rate schedules."""

    COSINE = "cosine"
    CONSTANT = "constant"


class ScheduleSpec(Model):
    """Learning rate over training."""

    name: ScheduleName = ScheduleName.COSINE
    """cosine decays to 0 at the last step; constant does not decay."""
    warmup_epochs: Annotated[float, Field(ge=0, le=1000)] = 0.5
    """Linear warm-up over the first epochs (a fraction is allowed)."""


class Augmentation(StrEnum):
    """Augmentations, applied on the device to whole batches, in the order crop, flip, cutout."""

    CROP = "crop"
    FLIP = "flip"
    CUTOUT = "cutout"


class Precision(StrEnum):
    """Arithmetic of the forward and backward pass."""

    AUTO = "auto"
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    FLOAT16 = "float16"


ClassReference = Annotated[int, Field(ge=0, le=1_000_000)] | Annotated[str, StringConstraints(max_length=255)]
"""A class: its name, or its number from 0. Text that is no class's name may be a number, too."""


class ClassPairSpec(Model):
    """Two classes whose mean activations are pushed apart more than those of others."""

    classes: Annotated[list[ClassReference], Field(min_length=2, max_length=2)]
    """The two classes, by name or number."""
    weight: Annotated[float, Field(ge=0, le=1_000_000)] = 25.0
    """Factor of the pair's similarity in the mean over all pairs, where other pairs have 1."""


class RegularizerSpec(Model):
    """The introspectability regulariser (Carmichael et al. 2023)."""

    weight: Annotated[float, Field(ge=0, le=1000)] = 0.5
    """Weight of the mean cosine similarity of the batch's class means in the loss; 0 is off."""
    pairs: Annotated[list[ClassPairSpec], Field(max_length=64)] = []
    """Pairs of classes with a weight of their own."""


class TrainingSpec(Model):
    """How each candidate is trained."""

    epochs: Annotated[int, Field(ge=1, le=10_000)] = 12
    """Passes over the training split."""
    batch_size: Annotated[int, Field(ge=1, le=65_536)] = 512
    """Samples per step; a last, smaller batch is used too."""
    optimizer: OptimizerSpec = OptimizerSpec()
    """The optimiser."""
    schedule: ScheduleSpec = ScheduleSpec()
    """The learning rate schedule."""
    augmentation: Annotated[list[Augmentation], Field(max_length=3)] = []
    """Any of crop, flip, cutout."""
    precision: Precision = Precision.AUTO
    """auto is bfloat16 on GPUs that have it, float32 elsewhere."""
    threads: Annotated[int, Field(ge=0, le=1024)] = 0
    """CPU threads of one worker; 0 shares the cores among the slots."""
    introspectability_regularizer: RegularizerSpec | None = None
    """Off when absent."""


class ObjectiveSpec(Model):
    """One objective of the search."""

    name: MetricName
    """Name in tables and on the front."""
    direction: Direction
    """maximize or minimize."""
    metric: MetricName | None = None
    """The metric to measure; defaults to name. In benchmark mode: a column of the table."""
    parameters: Parameters = {}
    """Parameters of the metric."""
    reference: float | None = None
    """The hypervolume's reference value; each metric has a default, a table's column has its worst value."""

    @property
    def metric_name(self) -> str:
        """The metric's name, with the default applied."""
        return self.metric or self.name


class MetricSpec(Model):
    """One more metric to record; a constraint may name it, selection does not look at it."""

    name: MetricName
    """Name in tables; unlike any objective's."""
    metric: MetricName | None = None
    """The metric to measure; defaults to name."""
    parameters: Parameters = {}
    """Parameters of the metric."""

    @property
    def metric_name(self) -> str:
        """The metric's name, with the default applied."""
        return self.metric or self.name


class ConstraintSpec(Model):
    """Bounds of a metric. At least one of min and max is set."""

    metric: MetricName
    """A metric, the name of an objective or of one of metrics, or (benchmark mode) a column."""
    min: float | None = None
    """Smallest value allowed."""
    max: float | None = None
    """Largest value allowed."""


class AlgorithmName(StrEnum):
    """Search algorithms."""

    NSGA2 = "nsga2"
    RANDOM = "random"
    REGULARIZED_EVOLUTION = "regularizedEvolution"


class Mode(StrEnum):
    """When offspring are made."""

    GENERATIONAL = "generational"
    STEADY_STATE = "steadyState"


class CrossoverName(StrEnum):
    """Crossover operators."""

    UNIFORM = "uniform"
    SBX = "sbx"


class CrossoverSpec(Model):
    """The crossover operator."""

    name: CrossoverName = CrossoverName.UNIFORM
    """uniform (for categorical genes) or sbx (simulated binary crossover, as in the paper)."""
    probability: Probability = 0.9
    """Probability that a pair of parents is crossed."""
    eta: Annotated[float, Field(gt=0, le=1000)] = 3.0
    """Distribution index of sbx; ignored by uniform."""


class MutationSpec(Model):
    """The mutation operator: uniform choice of another value (uniform crossover) or polynomial (sbx)."""

    probability: Probability | None = None
    """Probability for each gene; defaults to 1 / number of genes."""
    eta: Annotated[float, Field(gt=0, le=1000)] = 3.0
    """Distribution index of polynomial mutation; ignored otherwise."""


class AlgorithmSpec(Model):
    """The search algorithm."""

    name: AlgorithmName = AlgorithmName.NSGA2
    """nsga2, random or regularizedEvolution."""
    mode: Mode = Mode.GENERATIONAL
    """generational is reproducible whatever the order of results; steadyState keeps every slot busy."""
    population_size: Annotated[int, Field(ge=2, le=10_000)] = 64
    """Size of the population."""
    sample_size: Annotated[int, Field(ge=1, le=10_000)] = 5
    """Tournament sample of regularizedEvolution; ignored otherwise."""
    weights: Annotated[list[Annotated[float, Field(ge=0, le=1e9)]], Field(max_length=8)] = []
    """Weights of the objectives in regularizedEvolution's weighted sum; equal when empty; ignored otherwise."""
    crossover: CrossoverSpec = CrossoverSpec()
    """The crossover operator."""
    mutation: MutationSpec = MutationSpec()
    """The mutation operator."""


class StagnationSpec(Model):
    """Stop when the hypervolume no longer grows."""

    generations: Annotated[int, Field(ge=1, le=100_000)]
    """Number of generations (steadyState: populations' worth of evaluations) looked back on."""
    tolerance: Annotated[float, Field(ge=0, le=1)] = 0.001
    """Relative growth at or below which the search has stagnated."""


class LimitsSpec(Model):
    """When to stop. All may be changed while the search runs."""

    max_evaluations: Count | None = None
    """Candidates that are finished: scored, or failed for good."""
    max_generations: Count | None = None
    """Generations, the first population included."""
    max_failed_evaluations: Annotated[int, Field(ge=0, le=1_000_000)] = 50
    """Candidates that failed for good, beyond which the search fails."""
    active_deadline_seconds: Seconds | None = None
    """Wall-clock time for the whole search, time suspended not counted."""
    evaluation_deadline_seconds: Seconds = 3600
    """Wall-clock time for one attempt."""
    stagnation: StagnationSpec | None = None
    """Stop on a stagnating hypervolume."""


class EvaluatorsSpec(Model):
    """The pool of evaluators. On one machine, replicas and template are ignored."""

    replicas: Annotated[int, Field(ge=0, le=10_000)] = 1
    """Evaluator pods. May be changed while the search runs."""
    slots_per_evaluator: Annotated[int, Field(ge=1, le=64)] = 1
    """Candidates trained side by side in one evaluator."""
    queue_name: Name | None = None
    """Kueue LocalQueue."""
    template: Annotated[dict[str, Any], Field(max_length=8)] = {}
    """Any PodTemplate fields (metadata, spec), merged over the defaults."""


class ConfirmationSpec(Model):
    """Training the final front again: a front that is picked from noisy scores flatters itself."""

    seeds: Annotated[int, Field(ge=0, le=20)] = 0
    """Other training seeds with which each member of the final front is trained and scored again; 0 is off."""


class Checkpoints(StrEnum):
    """Which checkpoints are kept at the end."""

    FRONT = "front"
    ALL = "all"


class Retention(StrEnum):
    """What happens to artifacts when the resource is deleted."""

    RETAIN = "Retain"
    DELETE = "Delete"


class ArtifactsSpec(Model):
    """What is kept."""

    checkpoints: Checkpoints = Checkpoints.FRONT
    """front removes the checkpoints of others when the search completes; all keeps every one."""
    retention: Retention = Retention.RETAIN
    """Retain or Delete (cluster only)."""


class BenchmarkSpec(Model):
    """A table that answers instead of training. Objectives name its columns."""

    table: Path
    """CSV file, plain or gzipped."""
    key: Annotated[str, StringConstraints(min_length=1, max_length=63)] = "arch"
    """Column that holds the architecture string."""


class ArchitectureSearchSpec(Model):
    """What is searched, on what data, for which objectives, within which limits."""

    seed: Annotated[int, Field(ge=0, le=2**53 - 1)] = 0
    """Every random choice follows from it."""
    search_space: SearchSpaceSpec
    """The search space."""
    dataset: DatasetSpec | None = None
    """The data; absent in benchmark mode or when all objectives come from the graph alone."""
    training: TrainingSpec = TrainingSpec()
    """How each candidate is trained."""
    objectives: Annotated[list[ObjectiveSpec], Field(min_length=1, max_length=8)]
    """One to eight objectives."""
    metrics: Annotated[list[MetricSpec], Field(max_length=16)] = []
    """Metrics that are recorded besides the objectives' and those that every search records."""
    constraints: Annotated[list[ConstraintSpec], Field(max_length=16)] = []
    """Bounds; on static metrics they keep a candidate from being proposed."""
    algorithm: AlgorithmSpec = AlgorithmSpec()
    """The search algorithm."""
    limits: LimitsSpec = LimitsSpec()
    """When to stop. Mutable."""
    backoff_limit: Annotated[int, Field(ge=0, le=100)] = 3
    """Failed attempts of one candidate that are retried. Mutable."""
    suspend: bool = False
    """Pause: nothing new starts. Mutable."""
    evaluators: EvaluatorsSpec = EvaluatorsSpec()
    """The pool of evaluators."""
    explainers: Annotated[list[ExplainerSpec], Field(max_length=16)] = []
    """Parameters of explainers, wherever the search uses them: in explanations, and in metrics that judge one."""
    explanations: ExplanationsSpec = ExplanationsSpec()
    """Attributions that are made and kept."""
    confirmation: ConfirmationSpec | None = None
    """Off when absent."""
    artifacts: ArtifactsSpec = ArtifactsSpec()
    """What is kept."""
    ttl_seconds_after_finished: Annotated[int, Field(ge=0, le=31_536_000)] | None = None
    """When a finished resource is deleted (cluster only)."""
    benchmark: BenchmarkSpec | None = None
    """A table instead of dataset and training."""


MUTABLE_FIELDS: frozenset[str] = frozenset(
    {"limits", "backoffLimit", "suspend", "evaluators.replicas", "ttlSecondsAfterFinished"}
)
"""Spec fields (camelCase paths) that may change while a search runs; all else is refused by name."""
