"""The S3 store when the store or the network fails: deadlines, limits, and what the error says."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from xnas_core.artifacts.refusals import AccessRefusedError
from xnas_core.artifacts.s3 import S3Store
from xnas_core.artifacts.s3_settings import S3Settings
from xnas_core.artifacts.transport import Patience, Transport
from xnas_core.errors import InvalidInputError, StoreError
from xnas_core.testing.fake_s3 import QUICK, FakeS3, Refusal, Step, Trouble, fake_s3
from xnas_core.testing.store_contract import StoreContract

Act = Callable[[S3Store], object]
CALLS: dict[str, Act] = {
    "create": lambda store: store.create("key", b"content"),
    "put": lambda store: store.put("key", b"content"),
    "get": lambda store: store.get("old"),
    "exists": lambda store: store.exists("old"),
    "list": lambda store: list(store.list("")),
    "delete": lambda store: store.delete("old"),
    "delete_prefix": lambda store: store.delete_prefix(),
}
every_call = pytest.mark.parametrize("act", CALLS.values(), ids=CALLS)


@pytest.fixture
def s3() -> Iterator[FakeS3]:
    with fake_s3() as fake:
        fake.objects["part/old"] = b"something old"
        yield fake


@pytest.fixture
def store(s3: FakeS3) -> Iterator[S3Store]:
    made = S3Store(s3.settings("part"))
    yield made
    made.close()


def impatient(s3: FakeS3, **limits: float) -> S3Store:
    return S3Store(s3.settings("part", replace(QUICK, **limits)))  # type: ignore[arg-type]  # seconds


class TestFakeS3(StoreContract):
    """The fake behaves as the real server does (test_s3_store)."""

    @pytest.fixture
    def store(self) -> Iterator[S3Store]:
        with fake_s3() as fake:
            made = S3Store(fake.settings("a/part"))
            yield made
            made.close()


@every_call
@pytest.mark.parametrize(
    "script", [[Refusal(500), Refusal(500)], [Refusal(503, "SlowDown")], [Trouble.RESET, Trouble.RESET, Refusal(429)]]
)
def test_trouble_that_passes_is_not_noticed(s3: FakeS3, store: S3Store, act: Act, script: list[Step]) -> None:
    undisturbed = act(store)
    s3.objects.clear()
    s3.objects["part/old"] = b"something old"
    s3.script = list(script)
    assert act(store) == undisturbed
    assert not s3.script


@every_call
@pytest.mark.parametrize("step", [Refusal(500), Refusal(503, "SlowDown"), Trouble.RESET])
def test_trouble_that_stays_ends_in_an_error_after_a_limited_number_of_tries(
    s3: FakeS3, store: S3Store, act: Act, step: Step
) -> None:
    s3.script = [step] * 100
    with pytest.raises(StoreError):
        act(store)
    assert len(s3.seen) == QUICK.tries


@every_call
def test_a_store_that_accepts_and_never_answers_is_given_up_at_the_deadline(s3: FakeS3, act: Act) -> None:
    s3.script = [Trouble.SILENCE] * 100
    with pytest.raises(StoreError, match="did not answer in time"):
        act(impatient(s3, read_seconds=0.1, deadline_seconds=0.25))
    assert len(s3.seen) <= 4


def test_an_answer_that_drips_is_given_up_at_the_deadline(s3: FakeS3) -> None:
    s3.objects["part/old"] = bytes(100_000)
    s3.script = [Trouble.DRIP] * 100
    with pytest.raises(StoreError, match="connection broke"):
        CALLS["get"](impatient(s3, deadline_seconds=0.2))


def test_a_torn_answer_is_fetched_again(s3: FakeS3, store: S3Store) -> None:
    s3.script = [Trouble.TORN, Trouble.TORN]
    assert store.get("old") == b"something old"
    s3.script = [Trouble.TORN] * 100
    with pytest.raises(StoreError, match="connection broke"):
        store.get("old")


def test_an_answer_of_unknown_length_is_no_answer(s3: FakeS3, store: S3Store) -> None:
    s3.script = [Trouble.NO_LENGTH] * 100
    with pytest.raises(StoreError, match="connection broke"):
        store.get("old")


def test_a_conflict_is_repeated_and_its_outcome_decides(s3: FakeS3, store: S3Store) -> None:
    s3.script = [Refusal(409, "ConditionalRequestConflict")]
    assert store.create("key", b"mine")
    s3.script = [Refusal(409, "ConditionalRequestConflict")]
    assert not store.create("key", b"late")
    s3.script = [Refusal(409, "ConditionalRequestConflict")] * 100
    with pytest.raises(StoreError, match="409 ConditionalRequestConflict"):
        store.create("other", b"x")


def test_a_precondition_that_fails_is_not_repeated(s3: FakeS3, store: S3Store) -> None:
    assert not store.create("old", b"new")
    assert len(s3.seen) == 1
    assert store.get("old") == b"something old"


def test_after_a_lost_answer_create_says_false_and_the_content_is_ours(s3: FakeS3, store: S3Store) -> None:
    s3.script = [Trouble.DONE_THEN_RESET]
    assert not store.create("key", b"mine")
    assert store.get("key") == b"mine"


def test_after_a_lost_answer_put_and_delete_are_simply_repeated(s3: FakeS3, store: S3Store) -> None:
    s3.script = [Trouble.DONE_THEN_RESET]
    store.put("key", b"mine")
    s3.script = [Trouble.DONE_THEN_RESET]
    store.delete("key")
    s3.script = [Trouble.DONE_THEN_RESET]
    store.delete_many(["old", "absent"])
    assert s3.objects == {}


@every_call
@pytest.mark.parametrize(
    ("refusal", "advice"),
    [
        (Refusal(403, "InvalidAccessKeyId"), "check the access key"),
        (Refusal(403, "SignatureDoesNotMatch"), "check the secret key and the region"),
        (Refusal(403, "RequestTimeTooSkewed"), "clocks"),
        (Refusal(403, "AccessDenied"), "let this access key"),
        (Refusal(404, "NoSuchBucket"), "create the bucket"),
        (Refusal(301, "PermanentRedirect"), "another region"),
        (Refusal(400, "AuthorizationHeaderMalformed"), "check the region"),
        (Refusal(507, "XMinioStorageFull"), "free some space"),
    ],
)
def test_a_refusal_is_not_repeated_and_says_what_to_change(
    s3: FakeS3, store: S3Store, act: Act, refusal: Refusal, advice: str
) -> None:
    s3.script = [refusal] * 100
    if act is CALLS["exists"] and refusal.status != 404:
        # An answer to HEAD has no content, so no code.
        advice = str(refusal.status)
    with pytest.raises(StoreError, match=advice) as error:
        act(store)
    assert isinstance(error.value, AccessRefusedError) == (refusal.status == 403)
    assert s3.methods() in (["HEAD", "GET"], [s3.seen[0].method])


def test_what_is_no_s3_server_is_told_so(s3: FakeS3, store: S3Store) -> None:
    for name in ("list", "get", "put"):
        s3.script = [Refusal(405 if name == "get" else 404)]
        with pytest.raises(StoreError, match="check that the endpoint is an S3 store"):
            CALLS[name](store)


@every_call
def test_an_endpoint_where_nothing_answers_is_named(act: Act) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    store = S3Store(S3Settings(f"http://127.0.0.1:{port}", "bucket", "a", "s", patience=QUICK))
    with pytest.raises(StoreError, match=rf"127\.0\.0\.1:{port}.*nothing answers there; check the store's endpoint"):
        act(store.below("part"))


def test_an_unknown_host_is_told_so() -> None:
    store = S3Store(S3Settings("http://no.such.host.invalid", "bucket", "a", "s", patience=replace(QUICK, tries=1)))
    with pytest.raises(StoreError, match=r"no\.such\.host\.invalid.*name is unknown here"):
        store.get("x")


@every_call
@pytest.mark.parametrize("step", [Refusal(500), Refusal(403, "AccessDenied"), Trouble.RESET, Trouble.TORN])
def test_neither_keys_nor_signatures_are_shown(
    s3: FakeS3, store: S3Store, act: Act, step: Step, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    s3.script = [step] * 100
    try:
        act(store)
        shown = ""
    except (StoreError, KeyError) as error:
        shown = f"{error} {error.__cause__} {error.args}"
    shown += caplog.text + repr(store.settings)
    assert "X-Amz" not in shown
    assert "secret" not in shown.replace("secret_key", "")


def test_pauses_grow_with_jitter_up_to_a_bound(s3: FakeS3) -> None:
    pauses: list[float] = []
    patience = Patience(tries=8, first_pause_seconds=0.5, longest_pause_seconds=4, deadline_seconds=1000)
    s3.script = [Refusal(503)] * 100
    answer = Transport(patience, sleep=pauses.append).exchange("GET", s3.url + "/bucket/x")
    assert answer.status == 503
    assert len(pauses) == 7
    for pause, mean in zip(pauses, (0.5, 1, 2, 4, 4, 4, 4), strict=True):
        assert 0.5 * mean <= pause <= 1.5 * mean
    assert len({pause / mean for pause, mean in zip(pauses, (0.5, 1, 2, 4, 4, 4, 4), strict=True)}) > 1


def test_lists_come_in_pages_and_in_order(s3: FakeS3, store: S3Store) -> None:
    s3.page = 3
    names = [f"b/{number}" for number in range(10)] + ["a", "b-1", "b0"]
    for name in names:
        s3.objects[f"part/{name}"] = b""
    s3.objects |= {"part2/x": b"", "part": b"", "part/folder/": b""}
    assert list(store.list("")) == sorted([*names, "old"])
    assert list(store.list("b/")) == [f"b/{number}" for number in range(10)]
    assert s3.methods() == ["GET"] * (5 + 4)


def test_a_store_that_repeats_a_page_for_ever_is_given_up(
    s3: FakeS3, store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (
        b'<?xml version="1.0"?><ListBucketResult><Name>bucket</Name><IsTruncated>true</IsTruncated>'
        b"<Contents><Key>part/a</Key><Size>1</Size></Contents><NextContinuationToken>part/a</NextContinuationToken></ListBucketResult>"
    )
    monkeypatch.setattr("xnas_core.testing.fake_s3._Handler._listed", lambda *_: page)
    with pytest.raises(StoreError, match="lists part/a twice"):
        list(store.list(""))


def test_deleting_a_folder_leaves_its_neighbours(s3: FakeS3, store: S3Store) -> None:
    s3.objects |= {f"part/run/{number}": b"" for number in range(2500)}
    s3.objects |= {"part/run-2/x": b"", "part/run/folder/": b"", "part/running": b""}
    assert store.delete_prefix("run") == 2501
    assert sorted(s3.objects) == ["part/old", "part/run-2/x", "part/running"]
    assert s3.methods().count("POST") == 3, "a thousand with each request"
    assert store.delete_prefix() == 3
    assert store.delete_prefix() == 0


def test_a_whole_bucket_is_never_emptied(s3: FakeS3) -> None:
    with pytest.raises(InvalidInputError, match="name a folder"):
        S3Store(s3.settings()).delete_prefix("/")
    assert s3.objects


def test_an_object_that_could_not_be_deleted_is_named(
    s3: FakeS3, store: S3Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = (
        b'<?xml version="1.0"?><DeleteResult><Error><Key>part/old</Key><Code>AccessDenied</Code></Error></DeleteResult>'
    )
    monkeypatch.setattr("xnas_core.testing.fake_s3._Handler._carry_out", lambda *_: (200, answer))
    with pytest.raises(StoreError, match=r"part/old.*AccessDenied"):
        store.delete_many(["old"])


def test_objects_are_streamed(s3: FakeS3, store: S3Store) -> None:
    data = bytes(range(256)) * 8000
    store.put("large", data)
    blocks = list(store.open("large"))
    assert b"".join(blocks) == data
    assert max(map(len, blocks)) <= 256 * 1024
    assert store.size("large") == len(data)
    with pytest.raises(KeyError):
        store.open("absent")
    with pytest.raises(KeyError):
        store.size("absent")
    s3.script = [Refusal(503)]
    assert b"".join(store.open("large")) == data


def test_a_stream_that_breaks_off_raises(s3: FakeS3, store: S3Store) -> None:
    s3.script = [Trouble.TORN]
    with pytest.raises(StoreError, match="connection broke"):
        list(store.open("old"))
    s3.script = [Refusal(403, "AccessDenied")]
    with pytest.raises(AccessRefusedError):
        store.open("old")


def test_large_bodies_are_sent_in_blocks_and_content_types_are_set(s3: FakeS3, store: S3Store) -> None:
    store.put("report.html", b"<p>")
    store.put("candidates.parquet", b"PAR1")
    store.put("a/result.json", b"{}")
    types = [seen.headers["Content-Type"] for seen in s3.seen]
    assert types == ["text/html; charset=utf-8", "application/octet-stream", "application/json"]
    assert all("Content-MD5" in seen.headers and "Transfer-Encoding" not in seen.headers for seen in s3.seen)


def test_a_body_that_is_taken_too_slowly_is_given_up() -> None:
    # A listener that accepts and never reads: what the sockets buffer is taken, then nothing.
    with socket.create_server(("127.0.0.1", 0), backlog=16) as deaf:
        patience = replace(QUICK, connect_seconds=0.1, deadline_seconds=0.3)
        store = S3Store(S3Settings(f"http://127.0.0.1:{deaf.getsockname()[1]}", "bucket", "a", "s", patience=patience))
        with pytest.raises(StoreError):
            store.put("large", bytes(32 * 1024 * 1024))


def test_the_probe_passes_and_leaves_nothing(s3: FakeS3, store: S3Store) -> None:
    before = dict(s3.objects)
    store.probe()
    assert s3.objects == before
    s3.script = [Trouble.DONE_THEN_RESET]
    store.probe()
    assert s3.objects == before


def test_the_probe_finds_a_store_without_conditional_creation(s3: FakeS3, store: S3Store) -> None:
    before = dict(s3.objects)
    s3.ignores_conditions = True
    with pytest.raises(StoreError, match="conditional writes"):
        store.probe()
    assert s3.objects == before, "what it wrote is removed"
    s3.script = [Refusal(501, "NotImplemented")]
    with pytest.raises(StoreError, match="conditional writes"):
        store.probe()


@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_the_probe_fails_wherever_the_store_refuses(s3: FakeS3, store: S3Store, step: int) -> None:
    s3.script = [*[None] * step, Refusal(403, "AccessDenied")]
    with pytest.raises(AccessRefusedError, match="let this access key"):
        store.probe()
    assert list(s3.objects) == ["part/old"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"endpoint": "10.0.0.1:9000"}, "http://host:port"),
        ({"endpoint": "ftp://host"}, "http://host:port"),
        ({"endpoint": "http://host/path"}, "http://host:port"),
        ({"endpoint": "http://user:word@host"}, "http://host:port"),
        ({"endpoint": "http://host:port"}, "http://host:port"),
        ({"external_endpoint": "host"}, "http://host:port"),
        ({"bucket": "Bucket"}, "bucket's name"),
        ({"region": ""}, "region"),
        ({"access_key": ""}, "access key"),
        ({"secret_key": ""}, "secret key"),
        ({"prefix": "a/../b"}, "object name"),
        ({"endpoint": "http://"}, "http://host:port"),
    ],
)
def test_settings_that_are_not_possible(change: dict[str, str], said: str) -> None:
    right = {"endpoint": "http://host:9000", "bucket": "bucket", "access_key": "a", "secret_key": "s"}
    with pytest.raises(InvalidInputError, match=said):
        S3Settings(**right | change)  # type: ignore[arg-type]  # all of them are strings


def test_limits_and_files_that_are_not_possible() -> None:
    with pytest.raises(InvalidInputError, match="at least 1"):
        Patience(tries=0)
    with pytest.raises(InvalidInputError, match="CA file"):
        S3Store(S3Settings("https://host", "bucket", "a", "s", ca_file="/no/such/file"))
    with pytest.raises(InvalidInputError):
        S3Store(S3Settings("https://host", "bucket", "a", "s", prefix="part")).delete_prefix("../other")


def test_parts_of_parts() -> None:
    settings = S3Settings("https://host/", "bucket", "a", "s", prefix="/xnas/")
    assert (settings.endpoint, settings.uri) == ("https://host", "s3://bucket/xnas")
    assert settings.below("searches/ns/name/uid/").uri == "s3://bucket/xnas/searches/ns/name/uid"
    with pytest.raises(InvalidInputError):
        settings.below("../other")
    with pytest.raises(InvalidInputError, match="1024"):
        S3Store(settings.below("p" * 800)).get("k" * 300)
