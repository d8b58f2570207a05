"""A data set in the store: one copy for all that share the cache folder, then decoded as any archive."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xnas_core.api.spec import DatasetSource, DatasetSpec
from xnas_core.artifacts.transport import Transport
from xnas_core.errors import InvalidInputError, StoreError
from xnas_core.testing.fake_s3 import QUICK, FakeS3, Refusal, Trouble, fake_s3
from xnas_evaluator.datasets import load as loading
from xnas_evaluator.datasets.copies import Copy, copy_path, find_copy, notes_path, remote_address
from xnas_evaluator.datasets.fetch import fetch

URI = "s3://bucket/team/small.npz"


def archive(seed: int = 0) -> bytes:
    random = np.random.default_rng(seed)
    buffer = io.BytesIO()
    np.savez(
        buffer,
        x_train=random.integers(0, 256, (40, 5, 6), dtype=np.uint8),
        y_train=np.arange(40) % 4,
        class_names=np.array(["a", "b", "c", "d"]),
    )
    return buffer.getvalue()


@pytest.fixture
def s3() -> Iterator[FakeS3]:
    with fake_s3() as fake:
        fake.objects["team/small.npz"] = archive()
        yield fake


def spec(uri: str = URI) -> DatasetSpec:
    return DatasetSpec(source=DatasetSource(npz=uri))


def fetched(s3: FakeS3, cache: Path, uri: str = URI, **given: Any) -> Copy:
    key = uri.removeprefix("s3://bucket/")
    told: dict[str, Any] = {"alive": lambda _: None, "sleep": lambda _: None, **given}
    return fetch(uri, cache, Transport(QUICK), lambda: f"{s3.url}/bucket/{key}?X-Amz-Signature=s", **told)


def test_fetched_it_loads_as_any_archive(s3: FakeS3, tmp_path: Path) -> None:
    (tmp_path / "same.npz").write_bytes(archive())
    copy = fetched(s3, tmp_path / "cache")
    remote = loading.load(spec(), 7, tmp_path / "cache")
    local = loading.load(spec(str(tmp_path / "same.npz")), 7, tmp_path / "cache")
    assert remote.digest == local.digest
    assert remote.class_names == ("a", "b", "c", "d")
    assert remote.name == URI
    assert find_copy(tmp_path / "cache", URI) == copy


def test_it_is_fetched_once(s3: FakeS3, tmp_path: Path) -> None:
    first = fetched(s3, tmp_path)
    assert fetched(s3, tmp_path) == first
    assert len(s3.seen) == 1


def test_of_many_that_want_it_one_fetches_and_the_others_wait(s3: FakeS3, tmp_path: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()
    waited: list[float] = []

    def slow(_: float) -> None:
        begun.set()
        assert go_on.wait(20)

    def wait(seconds: float) -> None:
        waited.append(seconds)
        go_on.set()
        first.join(20)

    first = threading.Thread(target=fetched, args=(s3, tmp_path), kwargs={"alive": slow})
    first.start()
    assert begun.wait(20)
    copy = fetched(s3, tmp_path, sleep=wait)
    assert copy == find_copy(tmp_path, URI)
    assert waited, "the second process waited"
    assert len(s3.seen) == 1


def test_a_copy_is_whole_or_none(s3: FakeS3, tmp_path: Path) -> None:
    fetched(s3, tmp_path)
    path, notes = copy_path(tmp_path, URI), notes_path(tmp_path, URI)
    for damage in (
        lambda: path.write_bytes(path.read_bytes()[:-1]),
        path.unlink,
        notes.unlink,
        lambda: notes.write_text("{"),
        lambda: notes.write_text(notes.read_text().replace("team", "tram")),
    ):
        damage()
        assert find_copy(tmp_path, URI) is None
        fetched(s3, tmp_path)
        assert find_copy(tmp_path, URI) is not None


def test_what_is_decoded_is_shared_by_content(s3: FakeS3, tmp_path: Path) -> None:
    s3.objects["other.npz"] = s3.objects["team/small.npz"]
    s3.objects["third.npz"] = archive(seed=1)
    digests = []
    for uri in (URI, "s3://bucket/other.npz", "s3://bucket/third.npz"):
        fetched(s3, tmp_path, uri)
        digests.append(loading.load(spec(uri), 7, tmp_path).digest)
    assert digests[0] == digests[1] != digests[2]


def test_without_a_copy_one_machine_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match=r"read on a cluster only, .* copy the object to this machine"):
        loading.load(spec(), 7, tmp_path)


def test_an_object_that_is_no_archive_is_named_by_its_address(s3: FakeS3, tmp_path: Path) -> None:
    s3.objects["team/small.npz"] = b"no archive"
    fetched(s3, tmp_path)
    with pytest.raises(InvalidInputError, match=f"'{URI}' is not a whole .npz archive"):
        loading.load(spec(), 7, tmp_path)


def test_an_archive_with_pickles_is_refused(s3: FakeS3, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, x_train=np.array([{}], dtype=object), y_train=np.arange(1))
    s3.objects["team/small.npz"] = buffer.getvalue()
    fetched(s3, tmp_path)
    with pytest.raises(InvalidInputError, match="plain arrays"):
        loading.load(spec(), 7, tmp_path)


def test_a_cache_that_cannot_be_written_is_the_store_s_trouble(s3: FakeS3, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cache folder"):
        fetched(s3, tmp_path / "file")


def test_too_large_an_object_is_refused(s3: FakeS3, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="at most 100 are taken"):
        fetched(s3, tmp_path, max_bytes=100)


@pytest.mark.parametrize(
    ("dataset", "address"),
    [
        (None, None),
        (DatasetSpec(name="digits"), None),
        (DatasetSpec(source=DatasetSource(idx="/data")), None),
        (spec("/data/x.npz"), None),
        (spec(), URI),
    ],
)
def test_what_lies_in_a_store(dataset: DatasetSpec | None, address: str | None) -> None:
    assert remote_address(dataset) == address


def describe(question: dict[str, Any], cache: Path) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "xnas_evaluator.datasets.describe"],
        input=json.dumps(question),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={**os.environ, "XNAS_CACHE": str(cache)},
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_described_before_any_task(s3: FakeS3, tmp_path: Path) -> None:
    url = f"{s3.url}/bucket/team/small.npz?X-Amz-Signature=s"
    question = {"dataset": spec().to_document(), "seed": 7, "url": url}
    # The first URL ends after half of the object: its rest comes with the next one.
    s3.script = [Trouble.TORN, *[Refusal(403, "AccessDenied")] * 5]
    answer = describe(question, tmp_path)
    assert answer["reason"] == "StoreAccessRefused"
    assert "Signature" not in answer["error"]
    assert answer["bytesHere"] == len(archive()) // 2
    answer = describe(question, tmp_path)
    assert (answer["classes"], answer["train"] + answer["validation"] + answer["test"]) == (4, 40)
    assert s3.seen[-1].headers["Range"] == f"bytes={len(archive()) // 2}-"
    # The copy is there: no URL is needed any more.
    assert describe({**question, "url": None}, tmp_path) == answer
