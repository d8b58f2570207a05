"""`xnas submit`."""

from __future__ import annotations

from typing import Annotated

import typer

from xnas_core.cli.cluster.options import kubernetes_options, said
from xnas_core.cli.options import AsJson, SearchFile
from xnas_core.cli.session import begin

EXAMPLE = """Examples:
  xnas submit search.yaml -n team-a
  xnas submit search.yaml --dry-run"""

DryRun = Annotated[bool, typer.Option("--dry-run", help="Let the cluster check it, and make nothing.")]


@kubernetes_options
def submit(context: typer.Context, file: SearchFile, dry_run: DryRun = False, as_json: AsJson = False) -> None:
    """Make the search in FILE on the cluster, with your own rights.

    FILE is checked first, as `xnas validate` does; data and plug-ins are the cluster's, and are not looked for here.
    The namespace is that of -n, else that in FILE, else the context's.
    """
    from xnas_core.api.validate import load_one
    from xnas_core.cli.cluster.connecting import kube_for
    from xnas_core.cli.cluster.listing import resource_document
    from xnas_core.cli.cluster.searches import Searches, check_name
    from xnas_core.errors import InvalidInputError
    from xnas_core.service.errors import AlreadyExistsError

    session = begin(context, as_json=as_json)
    options = said(session)
    loaded = load_one(file, here=False)
    for problem in loaded.warnings:
        typer.echo(str(problem), err=True)
    # As it was written: defaults are the cluster's.
    manifest = {key: value for key, value in loaded.document.items() if key != "status"}
    metadata = manifest["metadata"]
    given, name = metadata.get("namespace"), metadata["name"]
    if None not in (given, options.namespace) and given != options.namespace:
        raise InvalidInputError(
            f"{file} says namespace {given}, but -n says {options.namespace}; leave one of them out"
        )
    with kube_for(options) as kube:
        namespace = check_name(str(given or options.namespace or kube.access.namespace), "namespace")
        # What an API server adds is left out, so that what `kubectl get -o yaml` prints can be submitted.
        kept = {key: metadata[key] for key in ("labels", "annotations") if key in metadata}
        manifest["metadata"] = {"name": name, "namespace": namespace, **kept}
        try:
            made = Searches(kube).create(namespace, manifest, dry_run=dry_run)
        except AlreadyExistsError as error:
            raise AlreadyExistsError(
                f"there is a search {name!r} in namespace {namespace!r} already; choose another name, or remove it "
                f"with: xnas delete {namespace}/{name}"
            ) from error
    if session.json:
        session.answer(resource_document(made))
    elif dry_run:
        print(f"{namespace}/{name}: the cluster would take it")
    else:
        print(f"{namespace}/{name} submitted\n  follow it: xnas watch {namespace}/{name}")
