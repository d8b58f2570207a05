"""Who calls and what it may do: Kubernetes tokens and Kubernetes rights, nothing of our own."""

from xnas_operator.auth.access import KubeAuthorizer
from xnas_operator.auth.evaluators import EvaluatorIdentities, EvaluatorIdentity
from xnas_operator.auth.tokens import TokenAuthenticator

__all__ = ["EvaluatorIdentities", "EvaluatorIdentity", "KubeAuthorizer", "TokenAuthenticator"]
