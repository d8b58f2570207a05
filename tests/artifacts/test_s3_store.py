"""The S3 store on a real server: the contract, and what only a real server can tell."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from xnas_core.artifacts import presigned
from xnas_core.artifacts.refusals import AccessRefusedError, code_of
from xnas_core.artifacts.s3 import S3Store
from xnas_core.artifacts.s3_settings import S3Settings
from xnas_core.artifacts.s3_signing import Signer
from xnas_core.artifacts.transport import Transport
from xnas_core.dispatch.grants import S3Grants
from xnas_core.errors import StoreError
from xnas_core.testing.fake_s3 import QUICK
from xnas_core.testing.store_contract import StoreContract


class TestS3Store(StoreContract):
    @pytest.fixture
    def store(self, s3_store: S3Store) -> S3Store:
        return s3_store


@pytest.fixture
def transport() -> Iterator[Transport]:
    made = Transport(QUICK)
    yield made
    made.clear()


def test_the_probe_passes_and_leaves_nothing(s3_store: S3Store) -> None:
    s3_store.probe()
    assert list(s3_store.list("")) == []


def test_the_server_answers_412_to_a_second_creation(s3_settings: S3Settings, transport: Transport) -> None:
    url = Signer(s3_settings).sign("PUT", "segment")
    statuses = [transport.exchange("PUT", url, body=b"x", headers={"If-None-Match": "*"}).status for _ in range(2)]
    assert statuses == [200, 412]


def test_the_server_refuses_content_that_was_altered_on_its_way(s3_settings: S3Settings, transport: Transport) -> None:
    url = Signer(s3_settings).sign("PUT", "object")
    answer = transport.exchange("PUT", url, body=b"altered", headers={"Content-MD5": "XrY7u+Ae7tCTyyK7j1rNww=="})
    assert (answer.status, code_of(answer.content)) == (400, "BadDigest")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"access_key": "nobody"}, "check the access key"),
        ({"secret_key": "wrong"}, "check the secret key"),
        ({"bucket": "no-such-bucket"}, "create the bucket"),
        ({"endpoint": "http://127.0.0.1:9"}, "nothing answers there"),
    ],
)
def test_the_probe_says_what_to_change(s3_settings: S3Settings, change: dict[str, str], said: str) -> None:
    with pytest.raises(StoreError, match=said):
        S3Store(replace(s3_settings, patience=QUICK, **change)).probe()


@pytest.mark.parametrize("change", [{"access_key": "nobody"}, {"secret_key": "wrong"}, {"bucket": "no-such-bucket"}])
def test_wrong_settings_are_no_absent_object(s3_settings: S3Settings, change: dict[str, str]) -> None:
    store = S3Store(replace(s3_settings, patience=QUICK, **change))
    with pytest.raises(StoreError):
        list(store.list("journal/"))
    for call in (store.get, store.exists, store.size, store.open, store.delete):
        with pytest.raises(StoreError):
            call("journal/00000001.json")
    store.close()


def test_more_objects_than_one_page_holds(s3_store: S3Store) -> None:
    names = [f"journal/{number:08d}.json" for number in range(1, 1102)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: s3_store.put(name, b"x"), names))
    s3_store.put("journal-2/kept", b"x")
    assert list(s3_store.list("journal/")) == names
    assert s3_store.delete_prefix("journal") == 1101
    assert list(s3_store.list("")) == ["journal-2/kept"]
    s3_store.delete_many(["journal-2/kept", "journal-2/absent"])
    assert list(s3_store.list("")) == []


def test_large_objects_are_streamed(s3_store: S3Store) -> None:
    data = bytes(range(256)) * 64 * 1024  # 16 MiB
    s3_store.put("large", data)
    assert s3_store.size("large") == len(data)
    assert b"".join(s3_store.open("large")) == data
    assert s3_store.get("large") == data


def test_a_part_sees_nothing_outside(s3_store: S3Store) -> None:
    one, other = s3_store.below("searches/ns/one/uid"), s3_store.below("searches/ns/one/uid2")
    one.put("a", b"1")
    other.put("b", b"2")
    assert (list(one.list("")), list(other.list(""))) == (["a"], ["b"])
    assert one.delete_prefix() == 1
    assert list(s3_store.list("")) == ["searches/ns/one/uid2/b"]


def test_grants_give_one_object_for_one_verb(s3_settings: S3Settings, s3_store: S3Store, transport: Transport) -> None:
    grants = S3Grants(s3_settings)
    write, read = grants.grant("a/x", write=True).url, grants.grant("a/x", write=False).url
    assert write is not None
    assert read is not None
    assert presigned.get(transport, read) is None
    presigned.put(transport, write, b"content")
    assert presigned.get(transport, read) == b"content" == s3_store.get("a/x")
    for wrong in (write, read.replace("a/x", "a/y")):
        with pytest.raises(AccessRefusedError):
            presigned.get(transport, wrong)
    with pytest.raises(AccessRefusedError):
        presigned.put(transport, read, b"other")
    assert s3_store.get("a/x") == b"content"


def test_a_grant_expires(s3_settings: S3Settings, transport: Transport) -> None:
    url = S3Grants(s3_settings, seconds=1).grant("x", write=True).url
    assert url is not None
    time.sleep(2.1)
    with pytest.raises(AccessRefusedError):
        presigned.put(transport, url, b"late")
