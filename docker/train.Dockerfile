# Training, evaluation and export. Build it from the repository's root, and run it with the data and a folder for
# the results mounted; --gpus all where there are any, --shm-size for torch's own workers:
#   docker build -f docker/train.Dockerfile -t hap2s-reid-train .
#   docker run --rm --user "$(id -u):$(id -g)" --shm-size 2g -v "$PWD/data:/data:ro" -v "$PWD/runs:/runs" \
#     hap2s-reid-train train --data /data/Market-1501-v15.09.15 --recipe cpu --out /runs/first
FROM python:3.11-slim-bookworm

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN python -m venv /opt/reid
COPY requirements/train.txt /build/requirements/
RUN /opt/reid/bin/pip install --require-hashes -r /build/requirements/train.txt
COPY pyproject.toml README.md LICENSE /build/
COPY app /build/app
COPY index /build/index
COPY model /build/model
COPY reid_client /build/reid_client
RUN /opt/reid/bin/pip install --no-deps --no-build-isolation /build \
 && rm -rf /build \
 && groupadd --gid 10001 reid \
 && useradd --uid 10001 --gid reid --no-create-home --home-dir /runs --shell /usr/sbin/nologin reid \
 && install -d -o reid -g reid /runs
# Any user may run it: what torch keeps between runs goes to a folder that all can write.
ENV PATH=/opt/reid/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 HOME=/tmp REID_DATA_DIR=/tmp/reid
USER 10001:10001
WORKDIR /runs
VOLUME /runs
ENTRYPOINT ["reid"]
CMD ["train", "--help"]
