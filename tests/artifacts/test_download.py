"""A large object into a file: breaks, expired URLs, changed objects, and what is refused."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xnas_core.artifacts import download, presigned
from xnas_core.artifacts.download import Download, partial_path
from xnas_core.artifacts.refusals import AccessRefusedError
from xnas_core.artifacts.s3 import S3Store
from xnas_core.artifacts.s3_settings import S3Settings
from xnas_core.artifacts.transport import Transport
from xnas_core.dispatch.grants import S3DataGrants
from xnas_core.errors import InvalidInputError, StoreError
from xnas_core.testing.fake_s3 import QUICK, FakeS3, Refusal, Trouble, fake_s3

CONTENT = bytes(range(256)) * 40
TORN = Trouble.TORN
EXPIRED = Refusal(403, "AccessDenied")


@pytest.fixture
def s3() -> Iterator[FakeS3]:
    with fake_s3() as fake:
        fake.objects["x"] = CONTENT
        yield fake


class EnoughError(Exception):
    pass


def made(s3: FakeS3, folder: Path, **given: Any) -> Download:
    urls = iter(range(100))
    told: dict[str, Any] = {
        "transport": Transport(QUICK),
        "ask": lambda: f"{s3.url}/bucket/x?X-Amz-Signature={next(urls)}",
        "what": "s3://bucket/x",
        "target": folder / "x",
        "max_bytes": len(CONTENT),
        "alive": lambda _: None,
        "sleep": lambda _: None,
        **given,
    }
    return Download(**told)


def ranges(s3: FakeS3) -> list[str]:
    return [seen.headers.get("Range", "") for seen in s3.seen]


def whole(folder: Path, done: download.Downloaded) -> None:
    assert (folder / "x").read_bytes() == CONTENT
    assert (done.size, done.sha256) == (len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    assert [path.name for path in folder.iterdir()] == ["x"], "nothing else is left"


def test_at_once(s3: FakeS3, tmp_path: Path) -> None:
    shares: list[float] = []
    whole(tmp_path, made(s3, tmp_path, alive=shares.append).run())
    assert ranges(s3) == [""]
    assert shares[0] == 0
    assert shares[-1] == 1


def test_after_a_break_only_the_rest_is_asked_for(s3: FakeS3, tmp_path: Path) -> None:
    s3.script = [TORN, TORN]
    whole(tmp_path, made(s3, tmp_path).run())
    half = len(CONTENT) // 2
    assert ranges(s3) == ["", f"bytes={half}-", f"bytes={half + half // 2}-"]


def test_a_store_without_parts_is_read_from_the_beginning(s3: FakeS3, tmp_path: Path) -> None:
    s3.script, s3.ignores_ranges = [TORN], True
    whole(tmp_path, made(s3, tmp_path).run())


def test_an_object_that_changed_meanwhile_is_read_from_the_beginning(s3: FakeS3, tmp_path: Path) -> None:
    s3.script, s3.objects["x"] = [TORN], b"another" * 100

    def change(_: float) -> None:
        s3.objects["x"] = CONTENT

    whole(tmp_path, made(s3, tmp_path, sleep=change).run())
    assert ranges(s3) == ["", "bytes=350-", ""]


def test_an_object_that_shrank_meanwhile_is_read_from_the_beginning(s3: FakeS3, tmp_path: Path) -> None:
    s3.script, s3.objects["x"] = [TORN], CONTENT * 3

    def change(_: float) -> None:
        s3.objects["x"] = CONTENT

    whole(tmp_path, made(s3, tmp_path, sleep=change, max_bytes=10**6).run())


def test_the_next_process_goes_on_where_one_was_killed(s3: FakeS3, tmp_path: Path) -> None:
    s3.script = [TORN]

    def killed(_: float) -> None:
        raise EnoughError

    with pytest.raises(EnoughError):
        made(s3, tmp_path, sleep=killed).run()
    assert not (tmp_path / "x").exists()
    whole(tmp_path, made(s3, tmp_path).run())
    assert ranges(s3) == ["", f"bytes={len(CONTENT) // 2}-"]


def test_all_that_was_missing_was_the_last_step(s3: FakeS3, tmp_path: Path) -> None:
    ends = iter([False, True])

    def alive(share: float) -> None:
        if share == 1 and next(ends):
            raise EnoughError

    with pytest.raises(EnoughError):
        made(s3, tmp_path, alive=alive).run()
    whole(tmp_path, made(s3, tmp_path).run())
    assert ranges(s3) == [""]


@pytest.mark.parametrize("notes", ["", "[]", "{}", '{"size": 3, "etag": "e"}', '{"size": null, "etag": "e"}'])
def test_what_an_earlier_process_left_torn_is_not_used(s3: FakeS3, tmp_path: Path, notes: str) -> None:
    partial_path(tmp_path / "x").write_bytes(b"garbage")
    (tmp_path / "x.partial.json").write_text(notes)
    whole(tmp_path, made(s3, tmp_path).run())


def test_an_expired_url_is_asked_for_again(s3: FakeS3, tmp_path: Path) -> None:
    s3.script = [EXPIRED, TORN, EXPIRED, EXPIRED]
    whole(tmp_path, made(s3, tmp_path).run())
    assert [seen.path.rpartition("=")[2] for seen in s3.seen] == ["0", "1", "1", "2", "3"]


def test_a_store_that_always_refuses_is_believed(s3: FakeS3, tmp_path: Path) -> None:
    s3.script = [EXPIRED] * 100
    with pytest.raises(AccessRefusedError, match="let this access key read") as error:
        made(s3, tmp_path).run()
    assert "Signature" not in str(error.value)
    assert len(s3.seen) == 5


def test_a_store_that_always_breaks_off_at_once_is_given_up(s3: FakeS3, tmp_path: Path) -> None:
    s3.script, s3.objects["x"] = [TORN] * 100, b"1"
    pauses: list[float] = []
    with pytest.raises(StoreError):
        made(s3, tmp_path, sleep=pauses.append).run()
    assert len(s3.seen) == 5
    assert pauses == [1, 2, 3, 4]


@pytest.mark.parametrize("status", [206, 416])
def test_an_answer_about_parts_that_nobody_asked_for_is_an_error(s3: FakeS3, tmp_path: Path, status: int) -> None:
    s3.script = [Refusal(status, "InvalidRange")] * 100
    with pytest.raises(StoreError, match=f"answered {status}"):
        made(s3, tmp_path).run()
    assert len(s3.seen) == 1


def test_an_absent_object_is_named(s3: FakeS3, tmp_path: Path) -> None:
    s3.objects.clear()
    with pytest.raises(InvalidInputError, match="there is no object s3://bucket/x"):
        made(s3, tmp_path).run()


def test_an_absent_bucket_is_the_store_s_trouble(s3: FakeS3, tmp_path: Path) -> None:
    s3.bucket = "other"
    with pytest.raises(StoreError, match="create the bucket"):
        made(s3, tmp_path).run()


def test_too_large_is_refused_before_anything_is_kept(s3: FakeS3, tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="at most 10 are taken"):
        made(s3, tmp_path, max_bytes=10).run()
    assert not list(tmp_path.iterdir())


def test_a_disk_without_room_is_said_at_once(s3: FakeS3, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xnas_core.artifacts.download.shutil.disk_usage", lambda _: type("", (), {"free": 5}))
    with pytest.raises(StoreError, match="has room for 5; give the cache folder a larger volume"):
        made(s3, tmp_path).run()


def test_an_answer_without_length_is_not_taken(s3: FakeS3, tmp_path: Path) -> None:
    s3.script = [Trouble.NO_LENGTH] * 100
    with pytest.raises(StoreError, match="does not say how long"):
        made(s3, tmp_path).run()


def test_an_empty_object_is_whole(s3: FakeS3, tmp_path: Path) -> None:
    s3.objects["x"] = b""
    assert made(s3, tmp_path).run().size == 0
    assert (tmp_path / "x").read_bytes() == b""


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    script=st.lists(st.sampled_from([None, TORN, EXPIRED, Trouble.RESET, Refusal(503, "SlowDown")]), max_size=8),
    size=st.integers(1, 5000),
)
def test_whatever_happens_it_is_whole_or_an_error(
    s3: FakeS3, tmp_path_factory: pytest.TempPathFactory, script: list[Any], size: int
) -> None:
    folder = tmp_path_factory.mktemp("any")
    content = CONTENT[:size]
    s3.objects["x"], s3.script = content, list(script)
    for _ in range(4):
        try:
            done = made(s3, folder).run()
        except StoreError:
            assert not (folder / "x").exists()
            continue
        assert (folder / "x").read_bytes() == content
        assert done.sha256 == hashlib.sha256(content).hexdigest()
        return
    raise AssertionError("eight troubles cannot end four downloads")


def test_on_a_real_server(s3_settings: S3Settings, s3_store: S3Store, tmp_path: Path) -> None:
    """Parts, their names, and the grant of a data set, as a real store has them."""
    s3_store.put("team/x.npz", CONTENT * 100)
    uri = f"s3://{s3_settings.bucket}/{s3_settings.prefix}/team/x.npz"
    elsewhere = replace(s3_settings, bucket="another-bucket", prefix="")
    grants = S3DataGrants(elsewhere, lambda asked: asked == uri)
    transport = Transport(QUICK)
    first = presigned.rest(transport, grants.grant(uri))
    assert first is not None
    first.blocks.close()
    assert (first.start, first.size) == (0, 100 * len(CONTENT))
    assert first.etag
    later = presigned.rest(transport, grants.grant(uri), 1000, first.etag)
    assert later is not None
    assert (later.start, later.size) == (1000, first.size)
    assert b"".join(later.blocks) == (CONTENT * 100)[1000:]
    changed = presigned.rest(transport, grants.grant(uri), 1000, '"another"')
    assert changed is not None
    assert changed.start == 0
    changed.blocks.close()

    seen = 0

    def killed_once(_: float) -> None:
        nonlocal seen
        seen += 1
        if seen == 2:
            raise EnoughError

    given: dict[str, Any] = {"ask": lambda: grants.grant(uri), "what": uri, "max_bytes": 10**8, "sleep": lambda _: None}
    with pytest.raises(EnoughError):
        Download(transport=transport, target=tmp_path / "x", alive=killed_once, **given).run()
    done = Download(transport=transport, target=tmp_path / "x", alive=lambda _: None, **given).run()
    assert (tmp_path / "x").read_bytes() == CONTENT * 100
    assert done.sha256 == hashlib.sha256(CONTENT * 100).hexdigest()
    transport.clear()
