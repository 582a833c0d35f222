# Two images of the same service:
#   docker build --tag harmgauge:0.1.0 .                        CPU
#   docker build --tag harmgauge:0.1.0-gpu --target gpu .       CUDA 13 and cuDNN 9, from Python packages
# --build-arg EXTRA=capture adds the packages that HARMGAUGE_CAPTURE_DIR needs: docs/capture.md.
# They listen on all addresses, so they start only with keys or with HARMGAUGE_OPEN=all: docs/security.md.
# docs/deploy.md shows how to run them, and how they were tested.

ARG PYTHON_IMAGE=python:3.11-slim-bookworm

# pip stays in this stage: /opt/venv, which is copied into the image, does not contain it.
FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
RUN python -m venv /opt/pip && python -m venv --without-pip /opt/venv
ENV PATH=/opt/pip/bin:$PATH PIP_PYTHON=/opt/venv/bin/python PIP_DISABLE_PIP_VERSION_CHECK=1
COPY pyproject.toml constraints.txt ./
# Write base.txt and a file for each extra. Dependencies make up most of the image and change less often than the code, so
# they get a separate layer.
RUN python -c 'import pathlib, tomllib; \
    project = tomllib.loads(pathlib.Path("pyproject.toml").read_text())["project"]; \
    lists = {"base": project["dependencies"], **project["optional-dependencies"]}; \
    [pathlib.Path(f"{name}.txt").write_text("\n".join(lines)) for name, lines in lists.items()]'

# `find` removes NumPy's and SciPy's own tests, 50 MB.
FROM build AS dependencies-cpu
ARG EXTRA=grpc
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --constraint constraints.txt --requirement base.txt --requirement cpu.txt --requirement grpc.txt \
        --requirement signing.txt --requirement tracing.txt --requirement "$EXTRA.txt" \
    && find /opt/venv -type d -name tests -prune -exec rm -r {} +

FROM build AS dependencies-gpu
ARG EXTRA=grpc
COPY constraints-gpu.txt ./
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install --constraint constraints.txt --constraint constraints-gpu.txt \
        --requirement base.txt --requirement gpu.txt --requirement grpc.txt \
        --requirement signing.txt --requirement tracing.txt --requirement "$EXTRA.txt" \
        'onnxruntime-gpu[cuda,cudnn]' \
    && find /opt/venv -type d -name tests -prune -exec rm -r {} +

# The service and its default bundle, installed from their wheel: files that are not package data stay behind.
FROM build AS app
COPY . .
RUN --mount=type=cache,target=/root/.cache/pip pip install --no-deps --target /opt/app .

FROM ${PYTHON_IMAGE} AS base
# Nothing is installed at run time. /state is for a volume: a new one inherits the owner of the folder.
RUN rm -rf /usr/local/lib/python3.*/site-packages/* /usr/local/lib/python3.*/ensurepip /usr/local/bin/pip* \
    && install --directory --owner=10001 --group=10001 /state
# Official builds of ONNX Runtime send telemetry to Microsoft unless it is disabled.
ENV PATH=/opt/app/bin:/opt/venv/bin:$PATH \
    PYTHONPATH=/opt/app \
    PYTHONDONTWRITEBYTECODE=1 \
    HARMGAUGE_HOST=:: \
    HARMGAUGE_LOG_FORMAT=json \
    ORT_DISABLE_TELEMETRY=1
USER 10001:10001
EXPOSE 8000
STOPSIGNAL SIGTERM
# The container checks itself, so it bypasses proxies, needs no curl, and does not verify the certificate. For Docker only:
# Kubernetes has its own probes.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-c", "\
import http.client, os, ssl, sys; \
address = dict(host='127.0.0.1', port=int(os.environ.get('HARMGAUGE_PORT') or 8000), timeout=4); \
tls = os.environ.get('HARMGAUGE_TLS_CERTIFICATE'); \
service = http.client.HTTPSConnection(**address, context=ssl._create_unverified_context()) if tls else http.client.HTTPConnection(**address); \
service.request('GET', '/readyz'); \
sys.exit(service.getresponse().status != 200)"]
# The kernel discards a SIGTERM for a container's first process if it has no handler yet. Blocked, the signal waits until
# the service handles it.
ENTRYPOINT ["env", "--block-signal=TERM", "harmgauge"]
CMD ["serve"]

FROM base AS gpu
COPY --from=dependencies-gpu /opt/venv /opt/venv
COPY --from=app /opt/app /opt/app
# Fail if the GPU cannot be used, instead of serving slowly.
ENV HARMGAUGE_PROVIDERS=cuda \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

FROM base AS cpu
COPY --from=dependencies-cpu /opt/venv /opt/venv
COPY --from=app /opt/app /opt/app
