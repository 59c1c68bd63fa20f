# The service, without torch. Build it from the repository's root:
#   docker build -f docker/serve.Dockerfile -t hap2s-reid .
# With the drivers for PostgreSQL and S3: --build-arg SET=scale
FROM python:3.11-slim-bookworm AS build

ARG SET=cpu
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/reid
COPY requirements/${SET}.txt /build/requirements/
RUN /opt/reid/bin/pip install --require-hashes -r /build/requirements/${SET}.txt
COPY pyproject.toml README.md LICENSE /build/
COPY app /build/app
COPY index /build/index
COPY model /build/model
COPY reid_client /build/reid_client
# Compiled modules stay: under a read-only root they could not be made later, and each start would pay for it.
# Of the libraries' own tests, headers and stubs nothing is ever read.
RUN /opt/reid/bin/pip install --no-deps --no-build-isolation /build \
 && /opt/reid/bin/pip uninstall --yes setuptools pip \
 && find /opt/reid -depth -type d \( -name tests -o -name test -o -name include \) -exec rm -rf {} + \
 && find /opt/reid \( -name '*.pyi' -o -name '*.pxd' -o -name '*.h' \) -delete

FROM python:3.11-slim-bookworm

COPY --from=build /opt/reid /opt/reid
# A named volume takes its owner from the folder it is first mounted on.
RUN groupadd --gid 10001 reid \
 && useradd --uid 10001 --gid reid --no-create-home --home-dir /data --shell /usr/sbin/nologin reid \
 && install -d -o reid -g reid /data
ENV PATH=/opt/reid/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 REID_DATA_DIR=/data
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
# http.client, because urllib would send it through a proxy that the environment names. Where the service
# listens on every address it is asked on loopback; on :: it answers IPv6 alone.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-c", "\
import http.client, os, sys; \
host = (os.environ.get('REID_HOST') or '127.0.0.1').strip('[]'); \
host = {'0.0.0.0': '127.0.0.1', '::': '::1'}.get(host, host); \
service = http.client.HTTPConnection(host, int(os.environ.get('REID_PORT') or '8000'), timeout=4); \
service.request('GET', '/health/ready'); \
sys.exit(service.getresponse().status != 200)"]
ENTRYPOINT ["reid"]
CMD ["serve"]
