"""How our pages are put together: templates, the one style sheet, a content security policy."""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from importlib import resources

import jinja2
from markupsafe import Markup

from xnas_core.report import numbers

_TEMPLATES = "templates"


def fragment(name: str, **values: object) -> Markup:
    """Return a template's output, escaped where the template does not say otherwise."""
    return Markup(_environment().get_template(name).render(**values))


def text(name: str) -> str:
    """Return the text of a file beside the templates."""
    return _text(name)


def policy(style: str, script: str) -> str:
    """Return a content security policy: nothing from the network, this style and this script ("": none) only."""
    scripts = _source(script) if script else "'none'"
    return (
        f"default-src 'none'; style-src {_source(style)}; script-src {scripts}; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _source(content: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()}'"


@cache
def _text(name: str) -> str:
    return resources.files(__package__).joinpath(_TEMPLATES, name).read_text(encoding="utf-8")


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_text),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        number=numbers.number,
        correlation=lambda rho: f"{rho:+.2f}".replace("-", "−"),
        signed=numbers.signed,
        p_value=numbers.p_value,
        tick=numbers.tick,
        duration=numbers.duration,
        plural=numbers.plural,
        grouped=numbers.grouped,
        percent=numbers.share,
    )
    return environment
