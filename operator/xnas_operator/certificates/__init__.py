"""The certificate of the gRPC port."""

from xnas_operator.certificates.authority import CertificateError, Policy
from xnas_operator.certificates.keeper import CertificateKeeper

__all__ = ["CertificateError", "CertificateKeeper", "Policy"]
