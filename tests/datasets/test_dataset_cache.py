"""The cache of decoded data: decoded once, safe with several processes, verified, atomic."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from safetensors import SafetensorError

from xnas_core.errors import InvalidInputError, StoreError
from xnas_evaluator.datasets import cache
from xnas_evaluator.datasets.cache import decoded_once, default_cache, fingerprint_files
from xnas_evaluator.datasets.raw import RawDataset


class _Decoder:
    def __init__(self, *, test: bool = True) -> None:
        self.calls = 0
        self._test = test

    def __call__(self) -> RawDataset:
        self.calls += 1
        images, labels = np.arange(6 * 9, dtype=np.uint8).reshape(6, 3, 3), np.arange(6) % 2
        return RawDataset(images, labels, ("ä", "b"), *((images, labels) if self._test else ()))


@pytest.mark.parametrize("test", [True, False])
def test_the_second_time_nothing_is_decoded_and_the_data_are_the_same(test: bool, tmp_path: Path) -> None:
    decoder = _Decoder(test=test)
    first, second = (decoded_once(tmp_path, "my data", "1", decoder) for _ in range(2))
    assert decoder.calls == 1
    assert first.digest == second.digest
    assert first.class_names == second.class_names
    assert (second.test_images is not None) == test
    np.testing.assert_array_equal(first.train_images, second.train_images)


def test_another_fingerprint_is_another_entry(tmp_path: Path) -> None:
    decoder = _Decoder()
    for fingerprint in ("1", "2", "1"):
        decoded_once(tmp_path, "mine", fingerprint, decoder)
    assert decoder.calls == 2


@pytest.mark.parametrize("cut", [0, 7, 100, -3])
def test_a_torn_entry_is_made_anew(cut: int, tmp_path: Path) -> None:
    decoder = _Decoder()
    first = decoded_once(tmp_path, "mine", "1", decoder)
    (path,) = (tmp_path / "datasets").glob("*.safetensors")
    path.write_bytes(path.read_bytes()[:cut])
    assert decoded_once(tmp_path, "mine", "1", decoder).digest == first.digest
    assert decoder.calls == 2


def test_an_altered_entry_is_made_anew(tmp_path: Path) -> None:
    decoder = _Decoder()
    first = decoded_once(tmp_path, "mine", "1", decoder)
    (path,) = (tmp_path / "datasets").glob("*.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert decoded_once(tmp_path, "mine", "1", decoder).digest == first.digest
    assert decoder.calls == 2


def test_several_at_once_decode_once(tmp_path: Path) -> None:
    decoder = _Decoder()
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda _: decoded_once(tmp_path, "mine", "1", decoder).digest, range(6)))
    assert decoder.calls == 1
    assert len(set(found)) == 1


def test_several_processes_decode_once(tmp_path: Path) -> None:
    program = f"""
import time
from pathlib import Path
import numpy as np
from xnas_evaluator.datasets.cache import decoded_once
from xnas_evaluator.datasets.raw import RawDataset
def decode():
    with open({str(tmp_path / "calls")!r}, "a") as file:
        file.write("x")
    time.sleep(0.3)
    return RawDataset(np.zeros((4, 3, 3), np.uint8), np.arange(4) % 2, ("a", "b"))
decoded_once(Path({str(tmp_path)!r}), "mine", "1", decode)
"""
    running = [subprocess.Popen([sys.executable, "-c", program]) for _ in range(3)]
    assert [process.wait(60) for process in running] == [0, 0, 0]
    assert (tmp_path / "calls").read_text() == "x"


def test_a_decoder_that_fails_leaves_no_entry(tmp_path: Path) -> None:
    def fail() -> RawDataset:
        raise InvalidInputError("broken source")

    with pytest.raises(InvalidInputError, match="broken source"):
        decoded_once(tmp_path, "mine", "1", fail)
    assert not list((tmp_path / "datasets").glob("*.safetensors*"))
    assert not list((tmp_path / "datasets").glob("*.partial"))


def test_a_cache_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="set XNAS_CACHE"):
        decoded_once(tmp_path / "file", "mine", "1", _Decoder())


def test_a_full_disk_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    # A limit on the size of files stands for the full disk; the library reports both in its text alone.
    program = f"""
import resource, signal
from pathlib import Path
import numpy as np
from xnas_core.errors import StoreError
from xnas_evaluator.datasets.cache import decoded_once
from xnas_evaluator.datasets.raw import RawDataset
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
raw = RawDataset(np.zeros((4, 64, 64), np.uint8), np.arange(4) % 2, ("a", "b"))
try:
    decoded_once(Path({str(tmp_path)!r}), "mine", "1", lambda: raw)
except StoreError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert "can't be used (File too large); set XNAS_CACHE" in done.stdout
    assert [path.suffix for path in (tmp_path / "datasets").iterdir()] == [".lock"]


def test_the_advice_for_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(cache, "save_file", full)
    with pytest.raises(StoreError, match=r"\(No space left on device\); free some space, or set XNAS_CACHE"):
        decoded_once(tmp_path, "mine", "1", _Decoder())


def test_a_source_that_can_not_be_read_is_not_blamed_on_the_cache(tmp_path: Path) -> None:
    def fail() -> RawDataset:
        raise PermissionError(13, "Permission denied", "source.bin")

    with pytest.raises(PermissionError, match=r"source\.bin"):
        decoded_once(tmp_path, "mine", "1", fail)


def test_what_is_decoded_needs_no_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> None:
        raise OSError(30, "Read-only file system")

    first = decoded_once(tmp_path, "mine", "1", _Decoder())
    monkeypatch.setattr(cache, "_locked", refuse)
    assert decoded_once(tmp_path, "mine", "1", _Decoder()).digest == first.digest
    with pytest.raises(StoreError, match="Read-only"):
        decoded_once(tmp_path, "mine", "2", _Decoder())


def test_fingerprints_change_with_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("one")
    first = fingerprint_files([path])
    assert fingerprint_files([path]) == first
    os.utime(path, ns=(1, 1))
    assert fingerprint_files([path]) != first


def test_place_of_the_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XNAS_CACHE", "/a")
    assert default_cache() == Path("/a")
    monkeypatch.delenv("XNAS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", "/b")
    assert default_cache() == Path("/b/xnas")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert default_cache() == Path.home() / ".cache" / "xnas"
