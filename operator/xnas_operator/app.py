"""The operator's process: everything put together, in the order in which it starts and stops."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

import structlog

from xnas_core import wire
from xnas_core.artifacts.s3 import S3Store
from xnas_core.artifacts.s3_settings import S3Settings
from xnas_core.dispatch.door import handlers
from xnas_core.dispatch.grants import S3DataGrants, S3Grants
from xnas_core.dispatch.listener import Listener
from xnas_core.service.service import SearchService
from xnas_core.service.wire import SERVICE
from xnas_operator.auth import EvaluatorIdentities, KubeAuthorizer, TokenAuthenticator
from xnas_operator.backend import ClusterBackend
from xnas_operator.certificates import CertificateKeeper, Policy
from xnas_operator.door import ClusterDoor
from xnas_operator.http import Heartbeat, Heartbeats, HttpServer, Readiness
from xnas_operator.known import Surroundings
from xnas_operator.kube import KubeClient
from xnas_operator.lease import ElectionTimes, LeaseElector, holder_identity
from xnas_operator.lease_label import ActiveLabel
from xnas_operator.manifests.defaults import EvaluatorDefaults
from xnas_operator.metrics import Metrics
from xnas_operator.resources_watch import LISTING_SECONDS, ResourcesWatch
from xnas_operator.searches import Searches
from xnas_operator.session import LeaseTimes
from xnas_operator.settings import Settings, SettingsError
from xnas_operator.watches import PoolWatches

_log = structlog.get_logger(__name__)

WATCH_LIMIT_SECONDS = 300.0
"""A watch that was not heard of for so long is dead. Watches end and begin anew well within it."""
_THREADS = 128
_LISTING_LIMIT_SECONDS = 6 * LISTING_SECONDS


class Operator:
    """One operator process.

    Args:
        kubeconfig: for an operator outside a cluster; None: the pod's own account.
    """

    def __init__(self, settings: Settings, kubeconfig: Path | None = None) -> None:
        self._settings = settings
        self._kubeconfig = kubeconfig
        self.metrics = Metrics()
        self.heartbeats = Heartbeats()
        self.readiness = Readiness()

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT.

        Raises:
            LeadershipLostError: another operator is active; this process must end at once.
            XnasError: it cannot start; the sentence says what to change.
        """
        settings = self._settings
        # A store that does not answer holds a thread for each search; names must still be looked up beside them.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(_THREADS, "xnas"))
        async with AsyncExitStack() as stack:
            kube = await stack.enter_async_context(
                await KubeClient.connect(kubeconfig=self._kubeconfig, hook=self.metrics.api)
            )
            http = HttpServer(settings.http.port, self.heartbeats, self.readiness, self.metrics)
            await http.start()
            stack.push_async_callback(http.stop)
            store = S3Store(s3_settings(settings))
            stack.callback(store.close)
            self.readiness.add("kubernetes", kube.ready)
            await asyncio.to_thread(store.probe)
            self.readiness.add("store", lambda: asyncio.to_thread(store.exists, "probe"))
            label = ActiveLabel(kube, namespace=settings.pod_namespace, pod=settings.pod_name)
            await label.clear()
            elector = LeaseElector(
                kube,
                namespace=settings.pod_namespace,
                name=settings.leader_election.lease_name,
                identity=holder_identity(settings.pod_name),
                times=ElectionTimes(
                    settings.leader_election.lease_duration_seconds, settings.leader_election.renew_seconds
                ),
            )
            leading = asyncio.create_task(elector.lead(lambda: self._lead(kube, store, label)))
            asked = asyncio.create_task(_asked_to_end())
            await asyncio.wait({leading, asked}, return_when=asyncio.FIRST_COMPLETED)
            asked.cancel()
            if not leading.done():
                _log.info("asked to end; evaluators go on and look for the next operator")
                leading.cancel()
            await asyncio.gather(leading, asked, return_exceptions=True)
            if not leading.cancelled():
                leading.result()

    async def _lead(self, kube: KubeClient, store: S3Store, label: ActiveLabel) -> None:
        """Be the active operator, until cancelled."""
        settings = self._settings
        keeper = CertificateKeeper(
            kube,
            namespace=settings.pod_namespace,
            secret_name=settings.tls.secret_name,
            policy=Policy(
                names=settings.certificate_names,
                valid_days=settings.tls.valid_days,
                rotate_before_days=settings.tls.rotate_before_days,
            ),
            source=settings.tls.source,
        )
        await keeper.refresh()
        searches, watches = self._searches(kube, store, keeper)
        authorizer = KubeAuthorizer(kube, TokenAuthenticator(kube))
        door = ClusterDoor(searches, EvaluatorIdentities(kube, authorizer, seen=searches.seen))
        service = SearchService(ClusterBackend(kube, searches, store.below, authorizer), authorizer)
        listener = Listener(
            [f"0.0.0.0:{settings.grpc.port}"],
            [(wire.SERVICE, handlers(door)), (SERVICE, service.handlers())],
            keeper,
        )
        resources = ResourcesWatch(
            kube,
            settings.namespaces,
            searches.observe,
            self.heartbeats.register("searches", _LISTING_LIMIT_SECONDS).beat,
            searches.were_listed,
        )
        async with AsyncExitStack() as stack:
            await listener.start()
            stack.push_async_callback(listener.stop, 1.0)
            stack.push_async_callback(searches.close)
            await stack.enter_async_context(label.shown())
            _log.info("active", address=listener.bound[0])
            async with asyncio.TaskGroup() as group:
                group.create_task(watches.run())
                group.create_task(resources.run())
                group.create_task(keeper.keep_fresh(lambda: None))

    def _searches(self, kube: KubeClient, store: S3Store, keeper: CertificateKeeper) -> tuple[Searches, PoolWatches]:
        settings = self._settings
        bucket = s3_settings(settings)
        around = Surroundings(
            kube=kube,
            store=store.below,
            grants=lambda root: S3Grants(bucket.below(root)),
            data_grants=lambda namespace: S3DataGrants(bucket, partial(settings.may_read, namespace)),
            defaults=lambda: _defaults(settings, keeper),
            times=LeaseTimes(settings.evaluator.heartbeat_seconds, settings.evaluator.grace_seconds),
            bucket=settings.store.bucket,
            prefix=settings.store.prefix,
            may_read=settings.may_read,
            synced=lambda: watches.synced,
            metrics=self.metrics,
        )
        searches = Searches(around, settings.watches)
        beats: dict[str, Heartbeat] = {}

        def alive(name: str) -> None:
            if name not in beats:
                beats[name] = self.heartbeats.register(name, WATCH_LIMIT_SECONDS)
            beats[name].beat()

        watches = PoolWatches(kube, searches, settings.namespaces, alive)
        return searches, watches


def s3_settings(settings: Settings) -> S3Settings:
    """Return the store's settings as the store takes them."""
    store = settings.store
    return S3Settings(
        endpoint=store.endpoint,
        external_endpoint=store.external_endpoint,
        bucket=store.bucket,
        region=store.region,
        prefix=store.prefix,
        ca_file=store.tls_ca_file,
        access_key=settings.access_key.get_secret_value(),
        secret_key=settings.secret_key.get_secret_value(),
    )


def _defaults(settings: Settings, keeper: CertificateKeeper) -> EvaluatorDefaults:
    evaluator = settings.evaluator
    template: Mapping[str, object] = evaluator.template
    return EvaluatorDefaults(
        address=settings.grpc.evaluator_address,
        image=evaluator.image,
        image_pull_policy=evaluator.image_pull_policy,
        image_pull_secrets=tuple(evaluator.image_pull_secrets),
        drain_seconds=evaluator.drain_seconds,
        template=template,
        ca_pem=keeper.ca_bundle().decode(),
        store_ca_pem=_store_authority(settings),
    )


def _store_authority(settings: Settings) -> str:
    """Return what the store's certificate is checked against, as it is now: a ConfigMap that is mounted may change."""
    file = settings.store.tls_ca_file
    try:
        return Path(file).read_text(encoding="utf-8") if file is not None else ""
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"store.tlsCaFile: {file} cannot be read ({error}); mount a PEM file there") from None


async def _asked_to_end() -> None:
    asked = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, asked.set)
    await asked.wait()
