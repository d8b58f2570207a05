"""Several processes at once: searches do not wait for each other, only for a network that another one is training."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from benchmarks.experiments.debugging import groups, study
from benchmarks.experiments.searching import Arm, search
from benchmarks.experiments.setting import Setting
from benchmarks.experiments.workshop import Trained, Workshop


def search_all(workshop: Workshop, arms: Iterable[Arm], jobs: int) -> None:
    """Run every arm's searches, in so many processes, so that what they train is in the cache.

    Raises:
        SittingOverError: the sitting's time is used up.
    """
    # Arms that differ in their titles alone make the same search.
    different = {(arm.objectives, arm.algorithm, arm.variant, arm.most_futile): arm for arm in arms}
    with _pool(jobs) as pool:
        waiting = [
            pool.submit(_search, workshop.setting, workshop.cache, workshop.minutes_left(), arm, seed)
            for seed in workshop.setting.seeds
            for arm in different.values()
        ]
        workshop.made += sum(done.result() for done in as_completed(waiting))


def study_all(workshop: Workshop, jobs: int) -> None:
    """Diagnose the networks of the debugging experiment in so many processes.

    Raises:
        SittingOverError: the sitting's time is used up.
    """
    different = {candidate.id: candidate for group in groups(workshop) for candidate in group}
    with _pool(jobs) as pool:
        waiting = [
            pool.submit(_study, workshop.setting, workshop.cache, workshop.minutes_left(), candidate)
            for candidate in different.values()
        ]
        for done in as_completed(waiting):
            done.result()


def _pool(jobs: int) -> ProcessPoolExecutor:
    return ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn"))


def _search(setting: Setting, cache: Path, minutes: float | None, arm: Arm, seed: int) -> int:
    workshop = Workshop(setting, cache, minutes)
    began = time.monotonic()
    search(workshop, arm, seed)
    print(f"{arm.title}, seed {seed}: {workshop.made} trained, {time.monotonic() - began:.0f} s", flush=True)
    return workshop.made


def _study(setting: Setting, cache: Path, minutes: float | None, candidate: Trained) -> None:
    study(Workshop(setting, cache, minutes), candidate)
