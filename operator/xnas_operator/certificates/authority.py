"""Makes and renews the server's certificate and its own certificate authority: pure functions of the time.

A new authority is announced before it is used: for a while the bundle holds both, and the server still shows a
certificate of the old one, so that evaluators with a bundle of yesterday trust it all the way.
"""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, replace

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from xnas_core.errors import XnasError

CA_DAYS = 3650
_DAY = datetime.timedelta(days=1)
ANNOUNCE = datetime.timedelta(days=1)
"""How long a new authority is in the bundle before it signs what the server shows."""
REMEMBER = datetime.timedelta(days=30)
"""How long an old authority stays in the bundle after the new one came."""
_SKEW = datetime.timedelta(hours=1)
"""Certificates begin so much earlier, for clients whose clock is behind."""


class CertificateError(XnasError):
    """The certificate cannot be used; the message names the Secret or the key and what to do."""

    reason = "CertificateInvalid"


@dataclass(frozen=True)
class Material:
    """All that the Secret holds, PEM.

    Attributes:
        key, chain: the server's private key and certificates, its own first.
        ca_bundle: the authorities that clients shall trust; the one that signs is the first.
        ca_key: the private key of the first.
    """

    key: bytes
    chain: bytes
    ca_bundle: bytes
    ca_key: bytes


@dataclass(frozen=True)
class Policy:
    """What certificates shall be like.

    Attributes:
        names: DNS names and addresses of the server.
        valid_days, rotate_before_days: of the server's certificate.
    """

    names: tuple[str, ...]
    valid_days: int = 365
    rotate_before_days: int = 30

    @property
    def authority_left(self) -> datetime.timedelta:
        """An authority with less time left is replaced: it could not sign one whole certificate and its successor."""
        return datetime.timedelta(days=self.valid_days + self.rotate_before_days)

    @property
    def authority_valid(self) -> datetime.timedelta:
        """An authority lives ten years, longer where it would else be replaced all the time."""
        return max(CA_DAYS * _DAY, self.authority_left * 2)


def fresh(policy: Policy, now: datetime.datetime) -> Material:
    """A new authority and a certificate signed by it."""
    authority, ca_key = _new_authority(policy, now)
    return _with_server_certificate(Material(b"", b"", _pem(authority), _private_pem(ca_key)), policy, now)


def renewed(material: Material, policy: Policy, now: datetime.datetime) -> Material | None:
    """What the material should be now; None where it is as it should be.

    Raises:
        CertificateError: a part cannot be read, or does not fit the others.
    """
    authorities = certificates(material.ca_bundle, "ca.crt")
    signing = authorities[0]
    check_pair(material.ca_key, signing, "ca.key", "ca.crt")
    server = certificates(material.chain, "tls.crt")[0]
    check_pair(material.key, server, "tls.key", "tls.crt")
    result = material
    if signing.not_valid_after_utc - now < policy.authority_left:
        time_left = signing.not_valid_after_utc - now > ANNOUNCE * 2
        if time_left:
            # The last certificate of the old authority bridges the time until everyone knows the new one.
            result = _with_server_certificate(material, policy, now)
        authority, ca_key = _new_authority(policy, now)
        result = replace(result, ca_bundle=_pem(authority) + result.ca_bundle, ca_key=_private_pem(ca_key))
        return _without_old(result if time_left else _with_server_certificate(result, policy, now), now)
    announced = now - signing.not_valid_before_utc - _SKEW >= ANNOUNCE
    due = server.not_valid_after_utc - now < policy.rotate_before_days * _DAY
    if due or _names(server) != set(policy.names) or (announced and not _signed(server, signing)):
        result = _with_server_certificate(result, policy, now)
    result = _without_old(result, now)
    return None if result == material else result


def certificates(pem: bytes, what: str) -> list[x509.Certificate]:
    """The certificates of a PEM text, one or more. CertificateError names `what`."""
    try:
        return x509.load_pem_x509_certificates(pem)
    except ValueError as error:
        raise CertificateError(f"{what} holds no readable certificate") from error


def check_pair(key: bytes, certificate: x509.Certificate, key_name: str, certificate_name: str) -> None:
    """CertificateError unless the private key belongs to the certificate."""
    try:
        private = serialization.load_pem_private_key(key, password=None)
    except (ValueError, TypeError) as error:  # TypeError: it has a password
        raise CertificateError(f"{key_name} holds no readable private key without a password") from error
    if private.public_key() != certificate.public_key():
        raise CertificateError(f"{key_name} is not the key of {certificate_name}")


def _without_old(material: Material, now: datetime.datetime) -> Material:
    """The bundle without authorities that are over, or long replaced and not behind the server's certificate."""
    signing, *others = certificates(material.ca_bundle, "ca.crt")
    server = certificates(material.chain, "tls.crt")[0]
    recent = now - signing.not_valid_before_utc < REMEMBER
    kept = [one for one in others if one.not_valid_after_utc > now and (recent or _signed(server, one))]
    return replace(material, ca_bundle=b"".join(_pem(one) for one in (signing, *kept)))


def _new_authority(policy: Policy, now: datetime.datetime) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    serial = x509.random_serial_number()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"XNAS authority {serial % 2**32:08x}")])
    made = (
        _builder(name, name, key, serial, now, now + policy.authority_valid)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return made, key


def _with_server_certificate(material: Material, policy: Policy, now: datetime.datetime) -> Material:
    authority = certificates(material.ca_bundle, "ca.crt")[0]
    ca_key = serialization.load_pem_private_key(material.ca_key, password=None)
    if not isinstance(ca_key, ec.EllipticCurvePrivateKey):
        raise CertificateError("ca.key is not a key of an elliptic curve, as the operator makes them")
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, policy.names[0][:64])])
    end = min(now + policy.valid_days * _DAY, authority.not_valid_after_utc)
    of_authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key())
    made = (
        _builder(subject, authority.subject, key, x509.random_serial_number(), now, end)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in policy.names]), critical=False)
        .add_extension(of_authority, critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    return replace(material, key=_private_pem(key), chain=_pem(made))


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    serial: int,
    now: datetime.datetime,
    end: datetime.datetime,
) -> x509.CertificateBuilder:
    builder = x509.CertificateBuilder().subject_name(subject).issuer_name(issuer).public_key(key.public_key())
    return builder.serial_number(serial).not_valid_before(now - _SKEW).not_valid_after(end)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _names(certificate: x509.Certificate) -> set[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    return {str(name.value) for name in names}


def _signed(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _private_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    none = serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, none)


def expiry(chain: bytes) -> datetime.datetime:
    """When the first certificate ends."""
    return certificates(chain, "tls.crt")[0].not_valid_after_utc


def describe(chain: bytes) -> Sequence[str]:
    """The server certificate's names, for the log."""
    return sorted(_names(certificates(chain, "tls.crt")[0]))
