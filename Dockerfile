# Two images from one file: `--target operator` (no torch) and `--target evaluator` (torch with CUDA, Captum).
# Libraries come from the lock files alone, checked by hash. Both run as user 65532 on a read-only root.
# Libraries come first and our code last, so that a change of code rebuilds one small layer.
ARG BASE_IMAGE=docker.io/library/python:3.13-slim

FROM ${BASE_IMAGE} AS base
ENV PATH=/opt/venv/bin:$PATH VIRTUAL_ENV=/opt/venv PYTHONUNBUFFERED=1 UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1
RUN python3 -m venv /opt/venv

# Our own wheel, built without the network: its build back end is in the lock file too.
FROM base AS wheel
RUN pip install --quiet --no-cache-dir uv==0.13.9
COPY requirements/build.lock /src/requirements/build.lock
RUN uv pip install --quiet --require-hashes -r /src/requirements/build.lock
COPY LICENSE README.md pyproject.toml /src/
COPY xnas_core /src/xnas_core
COPY evaluator /src/evaluator
COPY operator /src/operator
COPY proto/gen /src/proto/gen
RUN cd /src && uv build --quiet --wheel --no-build-isolation --out-dir /wheels .

FROM base AS operator
# Memory that many threads took is given back, and used by each other, rather than kept in an arena for each.
ENV MALLOC_ARENA_MAX=2
# The lock file names all there is to install; --no-deps, because it leaves out what nobody uses (operator.excludes).
COPY requirements/operator.lock /opt/requirements.lock
RUN pip install --quiet --no-cache-dir uv==0.13.9 \
 && uv pip install --quiet --no-deps --require-hashes -r /opt/requirements.lock \
 && uv pip uninstall --quiet pip uv
COPY --from=wheel /wheels /opt/wheels
RUN python -c "import sys, zipfile; [zipfile.ZipFile(f).extractall(next(p for p in sys.path if p.endswith('site-packages'))) for f in sys.argv[1:]]" /opt/wheels/*.whl \
 && python -m compileall -q /opt/venv/lib/python3*/site-packages/xnas_core /opt/venv/lib/python3*/site-packages/xnas_operator
USER 65532:65532
ENTRYPOINT ["python", "-m", "xnas_operator"]

FROM base AS evaluator
COPY requirements/evaluator.lock /opt/requirements.lock
RUN pip install --quiet --no-cache-dir uv==0.13.9 \
 && uv pip install --quiet --require-hashes -r /opt/requirements.lock \
 && uv pip uninstall --quiet pip uv
COPY --from=wheel /wheels /opt/wheels
RUN python -c "import sys, zipfile; [zipfile.ZipFile(f).extractall(next(p for p in sys.path if p.endswith('site-packages'))) for f in sys.argv[1:]]" /opt/wheels/*.whl \
 && python -m compileall -q /opt/venv/lib/python3*/site-packages/xnas_core /opt/venv/lib/python3*/site-packages/xnas_evaluator
USER 65532:65532
ENTRYPOINT ["python", "-m", "xnas_evaluator.agent"]
