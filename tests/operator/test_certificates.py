"""The server's certificate: made, shared, renewed and rotated while it is served."""

from __future__ import annotations

import asyncio
import base64
import datetime
import ssl
from dataclasses import dataclass

import grpc
import pytest
from cryptography import x509
from cryptography.x509 import verification
from grpc_health.v1 import health_pb2, health_pb2_grpc

from xnas_core.dispatch.listener import Listener
from xnas_core.testing.certificates import self_signed
from xnas_core.testing.fake_api import FakeApi, Fault
from xnas_operator.certificates import CertificateError, CertificateKeeper, Policy
from xnas_operator.certificates.authority import Material, certificates, expiry, fresh, renewed
from xnas_operator.kube import KubeClient, UnavailableError

DAY = datetime.timedelta(days=1)
START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
POLICY = Policy(("xnas.xnas.svc", "localhost", "127.0.0.1"))


@dataclass
class Calendar:
    now: datetime.datetime = START

    def __call__(self) -> datetime.datetime:
        return self.now


def trusted(bundle: bytes, chain: bytes, now: datetime.datetime, name: str = "xnas.xnas.svc") -> bool:
    store = verification.Store(certificates(bundle, "bundle"))
    verifier = verification.PolicyBuilder().store(store).time(now).build_server_verifier(x509.DNSName(name))
    try:
        verifier.verify(certificates(chain, "chain")[0], [])
    except verification.VerificationError:
        return False
    return True


def keeper(
    kube: KubeClient, calendar: Calendar, policy: Policy = POLICY, source: str = "selfSigned"
) -> CertificateKeeper:
    return CertificateKeeper(
        kube,
        namespace="team",
        secret_name="xnas-tls",
        policy=policy,
        source="secret" if source == "secret" else "selfSigned",
        now=calendar,
    )


# What certificates are like


def test_a_fresh_certificate_is_trusted_for_its_names_and_time_only() -> None:
    material = fresh(POLICY, START)
    assert trusted(material.ca_bundle, material.chain, START)
    assert trusted(material.ca_bundle, material.chain, START, "localhost")
    assert not trusted(material.ca_bundle, material.chain, START, "other.svc")
    assert not trusted(material.ca_bundle, material.chain, START + 366 * DAY)
    assert not trusted(fresh(POLICY, START).ca_bundle, material.chain, START)
    assert expiry(material.chain) == START + 365 * DAY
    assert certificates(material.ca_bundle, "ca")[0].not_valid_after_utc == START + 3650 * DAY
    names = certificates(material.chain, "c")[0].extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [str(name.value) for name in names] == list(POLICY.names)


def test_nothing_changes_before_it_must() -> None:
    material = fresh(POLICY, START)
    assert renewed(material, POLICY, START) is None
    assert renewed(material, POLICY, START + 334 * DAY) is None
    later = renewed(material, POLICY, START + 336 * DAY)
    assert later is not None
    assert (later.ca_bundle, later.ca_key) == (material.ca_bundle, material.ca_key)
    assert later.key != material.key
    assert expiry(later.chain) == START + (336 + 365) * DAY


def test_new_names_need_a_new_certificate() -> None:
    material = fresh(POLICY, START)
    later = renewed(material, Policy((*POLICY.names, "search.example.org")), START)
    assert later is not None
    assert trusted(material.ca_bundle, later.chain, START, "search.example.org")


@pytest.mark.parametrize(
    ("policy", "years"),
    [(POLICY, 30), (Policy(("xnas.xnas.svc",), 3650, 365), 60), (Policy(("xnas.xnas.svc",), 14, 7), 11)],
)
def test_a_bundle_of_yesterday_is_always_good_enough(policy: Policy, years: int) -> None:
    """Clients learn of a bundle after 20 hours, and trust the server at each moment."""
    now, material = START, fresh(policy, START)
    bundles = [(START - DAY, material.ca_bundle)]
    authorities: set[int] = set()
    hours: list[int] = []  # looks closer after each change
    while now < START + years * 365 * DAY:
        changed = renewed(material, policy, now)
        if changed is not None:
            material = changed
            bundles.append((now, material.ca_bundle))
            hours = [10, 10, 10]
        known = next(bundle for since, bundle in reversed(bundles) if since <= now - datetime.timedelta(hours=20))
        # Most of the time the two are one, and looking at a chain is what takes long here.
        assert all(trusted(bundle, material.chain, now) for bundle in {known, material.ca_bundle})
        assert len(certificates(material.ca_bundle, "ca")) <= 2
        authorities.add(certificates(material.ca_bundle, "ca")[0].serial_number)
        now += datetime.timedelta(hours=hours.pop()) if hours else policy.rotate_before_days * DAY / 2
    assert len(bundles) > 3
    assert 2 <= len(authorities) < 8


def test_an_operator_that_was_off_for_years_makes_all_anew() -> None:
    material = fresh(POLICY, START)
    for years in (2, 9.5, 9.999, 20):
        now = START + years * 365 * DAY
        later = renewed(material, POLICY, now)
        assert later is not None
        assert trusted(later.ca_bundle, later.chain, now)


def test_what_does_not_belong_together_is_refused() -> None:
    one, two = fresh(POLICY, START), fresh(POLICY, START)
    for broken, word in (
        (Material(two.key, one.chain, one.ca_bundle, one.ca_key), "tls.key"),
        (Material(one.key, one.chain, one.ca_bundle, two.ca_key), "ca.key"),
        (Material(one.key, b"junk", one.ca_bundle, one.ca_key), "tls.crt"),
        (Material(b"junk", one.chain, one.ca_bundle, one.ca_key), "tls.key"),
        (Material(one.key, one.chain, b"", one.ca_key), "ca.crt"),
    ):
        with pytest.raises(CertificateError, match=word):
            renewed(broken, POLICY, START)


# The Secret


async def test_two_operators_agree_on_one_certificate(api: FakeApi, kube: KubeClient) -> None:
    calendar = Calendar()
    one, two = keeper(kube, calendar), keeper(kube, calendar)
    assert all(await asyncio.gather(one.refresh(), two.refresh()))
    assert one.current() == two.current()
    assert one.ca_bundle() == two.ca_bundle()
    assert not await one.refresh()
    calendar.now += 340 * DAY
    before = one.current()
    assert all(await asyncio.gather(one.refresh(), two.refresh()))
    assert one.current() == two.current() != before
    secret = api.get("secrets", "team", "xnas-tls")
    assert secret["type"] == "kubernetes.io/tls"
    assert set(secret["data"]) == {"tls.crt", "tls.key", "ca.crt", "ca.key"}
    verbs = {verb for verb, _, resource in api.rules() if resource == "secrets"}
    assert verbs == {"get", "create", "patch"}


async def test_a_lost_answer_or_a_conflict_does_no_harm(api: FakeApi, kube: KubeClient) -> None:
    calendar = Calendar()
    one = keeper(kube, calendar)
    api.faults.add(Fault(verb="create", resource="secrets", lost="after"))
    await one.refresh()
    calendar.now += 340 * DAY
    api.faults.add(Fault(verb="patch", resource="secrets", lost="after"))
    await one.refresh()
    assert one.expires() == calendar.now + 365 * DAY
    stored = api.get("secrets", "team", "xnas-tls")["data"]
    assert base64.b64decode(stored["tls.key"]) == one.current()[0]


async def test_an_outage_leaves_what_is_in_use(api: FakeApi, kube: KubeClient) -> None:
    one = keeper(kube, Calendar())
    with pytest.raises(CertificateError, match="not read yet"):
        one.current()
    await one.refresh()
    before = one.current()
    api.faults.add(Fault(code=503, resource="secrets", times=None))
    with pytest.raises(UnavailableError):
        await one.refresh()
    assert one.current() == before


async def test_a_damaged_secret_is_named_with_what_to_do(api: FakeApi, kube: KubeClient) -> None:
    one = keeper(kube, Calendar())
    await one.refresh()
    api.patch("secrets", "team", "xnas-tls", {"data": {"tls.key": base64.b64encode(b"junk").decode()}})
    with pytest.raises(CertificateError, match=r"Secret team/xnas-tls is unusable: tls.key .*; delete it"):
        await one.refresh()
    api.patch("secrets", "team", "xnas-tls", {"data": {"ca.key": None}})
    with pytest.raises(CertificateError, match=r"lacks ca\.key"):
        await one.refresh()


async def test_a_secret_of_ones_own_is_read_and_never_written(api: FakeApi, kube: KubeClient) -> None:
    one = keeper(kube, Calendar(), source="secret")
    with pytest.raises(CertificateError, match="there is no Secret team/xnas-tls; create it"):
        await one.refresh()
    made = self_signed("localhost")
    data = {"tls.key": made.key, "tls.crt": made.chain}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "xnas-tls", "namespace": "team"}}
    api.create(secret | {"data": {key: base64.b64encode(value).decode() for key, value in data.items()}})
    assert await one.refresh()
    assert one.current() == (made.key, made.chain)
    assert one.ca_bundle() == b""
    newer = self_signed("localhost")
    data = {"tls.key": newer.key, "tls.crt": newer.chain, "ca.crt": newer.chain}
    api.patch("secrets", "team", "xnas-tls", {"data": {k: base64.b64encode(v).decode() for k, v in data.items()}})
    assert await one.refresh()
    assert one.ca_bundle() == newer.chain
    api.patch("secrets", "team", "xnas-tls", {"data": {"tls.key": base64.b64encode(made.key).decode()}})
    with pytest.raises(CertificateError, match=r"tls\.key is not the key of tls\.crt; repair it"):
        await one.refresh()
    assert one.current() == (newer.key, newer.chain)
    assert {verb for verb, _, resource in api.rules() if resource == "secrets"} == {"get"}


async def test_changes_are_told(api: FakeApi, kube: KubeClient) -> None:
    calendar, told = Calendar(), asyncio.Event()
    one = keeper(kube, calendar)
    await one.refresh()
    watching = asyncio.create_task(one.keep_fresh(told.set, every_s=0.01))
    api.faults.add(Fault(code=403, verb="get", resource="secrets"))
    calendar.now += 340 * DAY
    await asyncio.wait_for(told.wait(), 10)
    watching.cancel()
    await asyncio.wait((watching,))


# Serving


async def presented(port: int) -> bytes:
    """The certificate that a new connection is shown, DER."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.close()
    assert isinstance(shown, bytes)
    return shown


async def test_a_rotation_needs_no_restart(api: FakeApi, kube: KubeClient) -> None:
    calendar = Calendar(datetime.datetime.now(datetime.UTC) - 340 * DAY)
    one = keeper(kube, calendar)
    await one.refresh()
    listener = Listener(["127.0.0.1:0"], [], one)
    await listener.start()
    port = int(listener.bound[0].rpartition(":")[2])
    credentials = grpc.ssl_channel_credentials(one.ca_bundle())
    check = health_pb2.HealthCheckRequest()
    try:
        async with grpc.aio.secure_channel(f"localhost:{port}", credentials) as channel:
            await health_pb2_grpc.HealthStub(channel).Check(check, timeout=10)
            first = await presented(port)
            calendar.now = datetime.datetime.now(datetime.UTC)
            assert await one.refresh()
            second = await presented(port)
            assert first != second
            shown = x509.load_der_x509_certificate(second)
            assert shown == certificates(one.current()[1], "chain")[0]
            await health_pb2_grpc.HealthStub(channel).Check(check, timeout=10)  # the old connection lives on
            async with grpc.aio.secure_channel(f"localhost:{port}", credentials) as other:
                await health_pb2_grpc.HealthStub(other).Check(check, timeout=10)  # the bundle of before is enough
    finally:
        await listener.stop(0)
