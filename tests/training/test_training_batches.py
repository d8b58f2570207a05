"""Batches of an epoch: order, augmentation, normalisation, against a slow image-by-image version."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from xnas_core.api.spec import Augmentation
from xnas_core.tasks import generator
from xnas_evaluator.testing_networks import small_data
from xnas_evaluator.training.batches import batch_bounds, epoch_batches
from xnas_evaluator.training.device_data import DeviceData

ALL = tuple(Augmentation)


def _epoch(
    data: DeviceData, augmentations: tuple[Augmentation, ...], size: int, epoch: int = 1, seed: int = 3
) -> Tensor:
    return torch.cat([images for images, _ in epoch_batches(data, data.train, size, augmentations, seed, epoch)])


@given(samples=st.integers(1, 500), size=st.integers(1, 600))
def test_batches_cover_all_samples_in_order_and_none_is_a_lone_rest(samples: int, size: int) -> None:
    bounds = batch_bounds(samples, size)
    assert bounds[0][0] == 0
    assert bounds[-1][1] == samples
    assert all(left[1] == right[0] for left, right in itertools.pairwise(bounds))
    lengths = [last - first for first, last in bounds]
    if samples > 1 and size > 1:
        assert min(lengths) > 1
    assert max(lengths) <= size + 1


def test_an_epoch_has_every_sample_once_z_scored() -> None:
    data = small_data()
    labels = torch.cat([label for _, label in epoch_batches(data, data.train, 10, (), 3, 1)])
    assert torch.equal(labels.sort().values, data.train.labels.sort().values)
    images = _epoch(data, (), 10)
    assert float(images.mean()) == pytest.approx(0, abs=1e-5)
    assert float(images.std(correction=0)) == pytest.approx(1, abs=1e-5)


def test_random_choices_follow_from_seed_and_epoch_and_not_from_the_batch_size() -> None:
    data = small_data()
    first = _epoch(data, ALL, 10)
    assert torch.equal(first, _epoch(data, ALL, 10))
    assert torch.equal(first, _epoch(data, ALL, 32))
    assert not torch.equal(first, _epoch(data, ALL, 10, epoch=2))
    assert not torch.equal(first, _epoch(data, ALL, 10, seed=4))


@settings(max_examples=20, deadline=None)
@given(
    chosen=st.sets(st.sampled_from(ALL)),
    side=st.sampled_from([8, 11, 16]),
    channels=st.sampled_from([1, 3]),
    seed=st.integers(0, 99),
)
def test_batches_equal_the_obvious_version(chosen: set[Augmentation], side: int, channels: int, seed: int) -> None:
    data = small_data(samples=13, channels=channels, side=side)
    augmentations = tuple(a for a in ALL if a in chosen)
    got = _epoch(data, augmentations, 5, seed=seed)
    expected = _slow_epoch(data, augmentations, seed, 1)
    assert torch.allclose(got, expected, atol=1e-5)


def _slow_epoch(data: DeviceData, augmentations: tuple[Augmentation, ...], seed: int, epoch: int) -> Tensor:
    """Pad, crop, flip and cut out each z-scored image by slices; the random choices are drawn in the same order."""
    random = generator(seed, "epoch", epoch)
    count, _, height, width = data.train.images.shape
    order = random.permutation(count)
    crop = Augmentation.CROP in augmentations
    shifts = (
        random.integers((-(height // 8), -(width // 8)), (height // 8 + 1, width // 8 + 1), (count, 2))
        if crop
        else None
    )
    flips = random.random(count) < 0.5 if Augmentation.FLIP in augmentations else None
    sides = corners = None
    if Augmentation.CUTOUT in augmentations:
        sides = random.integers(0, (height // 4 + 1, width // 4 + 1), (count, 2))
        corners = random.integers(0, np.array((height, width)) - sides + 1)
    result = []
    for position, index in enumerate(order):
        image = data.normalise(data.train.images[index : index + 1])[0]
        if shifts is not None:
            margin = max(height, width)
            padded = torch.nn.functional.pad(image, (margin,) * 4)
            top, left = (margin + int(s) for s in shifts[position])
            image = padded[:, top : top + height, left : left + width]
        if flips is not None and flips[position]:
            image = image.flip(2)
        if sides is not None and corners is not None:
            image = image.clone()
            top, left = (int(corner) for corner in corners[position])
            image[:, top : top + int(sides[position][0]), left : left + int(sides[position][1])] = 0
        result.append(image)
    return torch.stack(result)


def test_channels_last_batches_have_the_same_values() -> None:
    data = small_data(channels=3)
    plain = next(epoch_batches(data, data.train, 8, ALL, 1, 1))[0]
    moved = next(epoch_batches(data, data.train, 8, ALL, 1, 1, torch.channels_last))[0]
    assert moved.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(plain, moved)
