"""The behavioural contract of ObjectStore. Subclass it and give a `store` fixture; every store passes it."""

from __future__ import annotations

import threading

import pytest

from xnas_core.artifacts.store import ObjectStore
from xnas_core.errors import InvalidInputError


class StoreContract:
    """Tests that run over each implementation."""

    def test_create_then_get(self, store: ObjectStore) -> None:
        """What was created is read back."""
        assert store.create("journal/00000001.json", b"one")
        assert store.get("journal/00000001.json") == b"one"

    def test_create_refuses_an_existing_key_and_keeps_its_content(self, store: ObjectStore) -> None:
        """The second creator loses and changes nothing."""
        assert store.create("a/b", b"first")
        assert not store.create("a/b", b"second")
        assert store.get("a/b") == b"first"

    def test_of_many_creators_one_wins(self, store: ObjectStore) -> None:
        """Exactly one of eight racing creators is told that it won, and its content stands."""
        outcomes: dict[int, bool] = {}
        barrier = threading.Barrier(8)

        def race(number: int) -> None:
            barrier.wait()
            outcomes[number] = store.create("race", str(number).encode())

        threads = [threading.Thread(target=race, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        winners = [number for number, won in outcomes.items() if won]
        assert len(winners) == 1
        assert store.get("race") == str(winners[0]).encode()

    def test_put_replaces(self, store: ObjectStore) -> None:
        """`put` creates and replaces."""
        store.put("report.html", b"old")
        store.put("report.html", b"new")
        assert store.get("report.html") == b"new"

    def test_empty_and_large_objects(self, store: ObjectStore) -> None:
        """Sizes at both ends are kept exactly."""
        large = bytes(range(256)) * 20_000
        store.put("empty", b"")
        store.put("large", large)
        assert store.get("empty") == b""
        assert store.get("large") == large

    def test_get_of_an_absent_key(self, store: ObjectStore) -> None:
        """An absent key is a KeyError."""
        with pytest.raises(KeyError):
            store.get("nothing/here")

    def test_open(self, store: ObjectStore) -> None:
        """The content in blocks, the object's own also when it is empty; a reader may leave early."""
        large = bytes(range(256)) * 4000
        store.put("large", large)
        store.put("empty", b"")
        blocks = list(store.open("large"))
        assert b"".join(blocks) == large
        assert max(map(len, blocks)) <= 256 * 1024
        assert list(store.open("empty")) == []
        left = store.open("large")
        next(left)
        left.close()

    def test_open_of_what_is_no_object(self, store: ObjectStore) -> None:
        """A KeyError at once, before anything is read."""
        store.put("folder/object", b"x")
        for key in ("nothing/here", "folder"):
            with pytest.raises(KeyError):
                store.open(key)

    def test_exists(self, store: ObjectStore) -> None:
        """`exists` tells objects from their folders."""
        store.put("folder/object", b"x")
        assert store.exists("folder/object")
        assert not store.exists("folder")
        assert not store.exists("other")

    def test_list_is_sorted_and_filtered(self, store: ObjectStore) -> None:
        """`list` yields whole keys in lexicographic order; a prefix may end inside a name."""
        for key in ("b/2", "a/1", "b/10", "b1", "c"):
            store.put(key, b"")
        assert list(store.list("")) == ["a/1", "b/10", "b/2", "b1", "c"]
        assert list(store.list("b/")) == ["b/10", "b/2"]
        assert list(store.list("b/1")) == ["b/10"]
        assert list(store.list("none/")) == []

    def test_delete(self, store: ObjectStore) -> None:
        """`delete` removes and may be repeated; the key can then be created again."""
        store.put("key", b"x")
        store.delete("key")
        store.delete("key")
        assert not store.exists("key")
        assert store.create("key", b"y")

    def test_delete_many(self, store: ObjectStore) -> None:
        """`delete_many` removes what is there and does not mind what is not."""
        for key in ("a", "b/1", "b/2"):
            store.put(key, b"x")
        store.delete_many(["a", "b/2", "none"])
        assert list(store.list("")) == ["b/1"]
        store.delete_many([])

    @pytest.mark.parametrize("key", ["../x", "/x", "a//b", "a/../b", "", "a/", "a b", "a\x00b", ".hidden", "a/.tmp-x"])
    def test_odd_keys_are_refused(self, store: ObjectStore, key: str) -> None:
        """Nothing outside the root can be named."""
        with pytest.raises(InvalidInputError):
            store.put(key, b"x")
        with pytest.raises(InvalidInputError):
            store.get(key)
