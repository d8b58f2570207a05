"""A strict reader of the report: what is wrong with a page, as sentences."""

from __future__ import annotations

from collections import Counter
from html.parser import HTMLParser

_VOID = frozenset({"meta", "img", "br", "input", "link", "hr"})
_LOADS = frozenset({"src", "srcset", "data", "poster", "action", "formaction", "background", "xlink:href"})


class Checker(HTMLParser):
    """Reads a page; `problems` holds what is wrong, `text` what a person reads, `tags` how often a tag occurs."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.problems: list[str] = []
        self.text: list[str] = []
        self.tags: Counter[str] = Counter()
        self.ids: Counter[str] = Counter()
        self.images: list[dict[str, str]] = []
        self._open: list[str] = []
        self._uncaptioned = 0
        self._wanted: list[str] = []
        self._headings: list[int] = []
        self.feed(page)
        self.close()
        self.problems += [f"<{tag}> is not closed" for tag in self._open]
        # The table of all candidates is filled by the script; its region has a name.
        self.problems += ["a table has no caption"] * self._uncaptioned
        self.problems += [f"id {name!r} occurs {n} times" for name, n in self.ids.items() if n > 1]
        self.problems += [f"nothing has the id {name!r}" for name in self._wanted if name not in self.ids]
        jumps = [pair for pair in zip(self._headings, self._headings[1:], strict=False) if pair[1] > pair[0] + 1]
        self.problems += [f"a heading of level {b} follows one of level {a}" for a, b in jumps]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags[tag] += 1
        if tag not in _VOID:
            self._open.append(tag)
        if tag in ("h1", "h2", "h3", "h4"):
            self._headings.append(int(tag[1]))
        if "id" in given:
            self.ids[given["id"]] += 1
        self._references(tag, given)
        if tag == "img":
            self.images.append(given)
            if not given.get("alt"):
                self.problems.append("an image has no text alternative")
        if tag == "table":
            self._uncaptioned += 1
        if tag == "caption":
            self._uncaptioned -= 1
        if tag == "th" and not given.get("scope"):
            self.problems.append("a table header has no scope")
        if tag == "svg" and not (given.get("aria-label") or given.get("aria-hidden") == "true"):
            self.problems.append("a drawing has no text alternative")
        self.problems += [f"<{tag} {name}>: inline code" for name in given if name.startswith("on") or name == "style"]

    def _references(self, tag: str, given: dict[str, str]) -> None:
        for name, value in given.items():
            outside = ":" in value.split("/")[0] or value.startswith("//")
            if name in _LOADS and outside and not value.startswith("data:image/png;base64,"):
                self.problems.append(f"<{tag} {name}> loads {value[:80]!r}")
            if name == "href":
                if value.startswith("#"):
                    self._wanted.append(value[1:])
                elif outside or tag != "a":
                    self.problems.append(f"<{tag} href> leads outside: {value[:80]!r}")
            if name in ("aria-labelledby", "aria-describedby", "for"):
                self._wanted += value.split()

    def handle_endtag(self, tag: str) -> None:
        if not self._open or self._open[-1] != tag:
            self.problems.append(f"</{tag}> closes {self._open[-1:]}")
            if tag not in self._open:
                return
            while self._open[-1] != tag:
                self._open.pop()
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if not self._open or self._open[-1] not in ("script", "style"):
            self.text.append(data)

    @property
    def words(self) -> str:
        """Return all text, with single spaces."""
        return " ".join(" ".join(self.text).split())
