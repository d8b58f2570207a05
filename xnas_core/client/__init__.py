"""The SDK: searches on a cluster from Python. `aio.SearchClient` is the same for asyncio. docs/sdk.md shows it."""

from xnas_core.client.connection import RetryPolicy
from xnas_core.client.results import Front
from xnas_core.client.sync import RemoteSearch, SearchClient
from xnas_core.service.values import (
    CandidateQuery,
    Deleted,
    Finished,
    Lineage,
    LineageMember,
    MetricRange,
    NewFront,
    NewState,
    Progressed,
    SearchInfo,
    Standing,
    Stands,
    WatchEvent,
)

__all__ = [
    "CandidateQuery",
    "Deleted",
    "Finished",
    "Front",
    "Lineage",
    "LineageMember",
    "MetricRange",
    "NewFront",
    "NewState",
    "Progressed",
    "RemoteSearch",
    "RetryPolicy",
    "SearchClient",
    "SearchInfo",
    "Standing",
    "Stands",
    "WatchEvent",
]
