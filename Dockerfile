FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_NO_CACHE_DIR=1
WORKDIR /app

# Requirements first: they change seldom, and their layer is kept. Where PyTorch's CPU index is named,
# --build-arg PIP_EXTRA_INDEX_URL=ADDRESS, its much smaller build without CUDA is taken; same version otherwise.
ARG PIP_EXTRA_INDEX_URL=
COPY requirements.txt constraints.txt ./
COPY scripts/install.sh scripts/
RUN sh scripts/install.sh python

COPY main.py pipeline.py ./
COPY modules/ modules/

# Nothing in the image is written at run time but temporary files.
RUN useradd --system --uid 10001 --create-home imgsieve
USER imgsieve

# Exec form: SIGTERM reaches Python itself, which stops cleanly and exits with 4.
ENTRYPOINT ["python", "main.py"]
