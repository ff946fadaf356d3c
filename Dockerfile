# Two variants of one image, and weights in it if wanted:
#   docker build --build-arg TORCH_INDEX_URL=ADDRESS -t imgsieve:cpu .        ADDRESS: PyTorch's index of CPU builds
#   docker build --build-arg VARIANT=cuda -t imgsieve:cuda .
#   docker build --build-arg WEIGHTS=clip,efficientnet ...                    fetched now, so a run needs no hub
ARG VARIANT=cpu

FROM python:3.11-slim AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1
WORKDIR /app
# Requirements first: they change seldom, and their layer is kept.
COPY requirements.txt constraints.txt ./

# The general build of torch needs gigabytes of CUDA packages. "+cpu" names the build without: where an index does not
# have it, the build of the image ends here, before any of them is downloaded. requirements.txt is content with it.
FROM base AS torch-cpu
ARG TORCH_INDEX_URL=
RUN sed -n 's/^torch==.*$/&+cpu/p' requirements.txt > torch-cpu.txt \
    && python -m pip install --no-input --no-deps ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} -r torch-cpu.txt

# CUDA's libraries come as packages; driver and GPUs come from the host (NVIDIA container toolkit).
FROM base AS torch-cuda
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility

FROM torch-${VARIANT}
COPY scripts/install.sh scripts/
RUN sh scripts/install.sh python

COPY main.py pipeline.py ./
COPY modules/ modules/
COPY scripts/__init__.py scripts/bake_weights.py scripts/job.sh scripts/

# Nothing in the image is written at run time but temporary files, and weights that are fetched to the user's home.
RUN useradd --system --uid 10001 --create-home imgsieve
USER imgsieve
# Names of extractors whose weights the image is to hold, as in --features.
ARG WEIGHTS=
RUN if [ -n "$WEIGHTS" ]; then python -m scripts.bake_weights "$WEIGHTS"; fi

# Exec form: SIGTERM reaches Python itself, which stops cleanly and exits with 4.
ENTRYPOINT ["python", "main.py"]
