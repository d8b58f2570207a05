"""One JSON object a line for everything that is logged: ours, kopf's, the libraries' and Python's warnings.

What is bound in a context (`bound(search=…)`) is in each line that is written within it, whoever writes it.
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any, Literal, TextIO

import structlog
from structlog.contextvars import bound_contextvars, merge_contextvars
from structlog.typing import Processor

Level = Literal["debug", "info", "warning", "error"]
Event = MutableMapping[str, Any]
HIDDEN = "[hidden]"
_SECRET_KEY = re.compile(r"(?i)(authorization|token|secret_?key|access_?key|password|private_?key|credential)")
_INNOCENT_KEY = re.compile(r"(?i)(token_?file|next_?token|resume_?token)$")
_SECRET_TEXT = re.compile(
    r"(?i)(bearer\s+)[A-Za-z0-9._~+/=-]{8,}"  # tokens in headers
    r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+"  # JSON web tokens anywhere
    r"|(X-Amz-(?:Signature|Credential|Security-Token)=)[^&\s\"']+"  # presigned URLs
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|$)",
    re.DOTALL,
)
_QUIET = ("aiohttp.access", "kubernetes", "urllib3", "kopf")
"""They tell each request; warnings of theirs are enough, unless the level is debug."""


def configure(level: Level = "info", stream: TextIO | None = None) -> None:
    """Set up structlog and the standard library's logging, once, at the start of the process. Default: stderr."""
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, _object_of_kopf],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                without_secrets,
                structlog.processors.JSONRenderer(default=str),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.NOTSET if level == "debug" else max(number, logging.WARNING))
    logging.captureWarnings(True)


@contextmanager
def bound(**fields: str) -> Iterator[None]:
    """Within this context, and the tasks begun in it, each line has these fields: search, namespace, candidate."""
    with bound_contextvars(**fields):
        yield


def without_secrets(_logger: Any, _method: str, event: Event) -> Event:
    """Hide what looks like a token, key or signature, by its name or its form."""
    return {key: HIDDEN if _is_secret(key) else _cleaned(value) for key, value in event.items()}


def _is_secret(key: str) -> bool:
    return bool(_SECRET_KEY.search(key)) and not _INNOCENT_KEY.search(key)


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return _SECRET_TEXT.sub(lambda found: (found[1] or found[2] or "") + HIDDEN, value)
    if isinstance(value, dict):
        return {key: HIDDEN if _is_secret(str(key)) else _cleaned(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_cleaned(item) for item in value]
    return value if isinstance(value, int | float | None) else _cleaned(str(value))


def _object_of_kopf(_logger: Any, _method: str, event: Event) -> Event:
    """Name the object that kopf writes about as our own lines do."""
    about = getattr(event.get("_record"), "k8s_ref", None)
    if isinstance(about, dict):
        event.setdefault("namespace", about.get("namespace"))
        event.setdefault("search", about.get("name"))
    return event
