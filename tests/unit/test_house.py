"""Rules of the house that no single file can hold: arrows between modules, light start, sizes, tested documents."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import main
from modules.settings import Settings
from modules.settings_sources import env_name, flag_names
from scripts.settings_table import DOCUMENT, with_table

ROOT = Path(__file__).resolve().parents[2]
#: From the top down; a module imports from lower layers and from its own only.
LAYERS = (
    {"main"},
    {"modules.commands"},
    {"pipeline"},
    {"modules.job"},
    {"modules.stages"},
    {"modules.calibration"},
    {"modules.deduplication", "modules.feature_extraction", "modules.distributed_processor", "modules.outputs"},
    {"modules.matching", "modules.features", "modules.quality", "modules.state"},
    {"modules.devices", "modules.hardware"},
    {"modules.worker_pool", "modules.bounded_queue"},
    {
        "modules.store_thread",
        "modules.io_utils",
        "modules.memory_store",
        "modules.azure_utils",
        "modules.azure_copy",
        "modules.checksums",
    },
    {
        "modules.azure_access",
        "modules.azure_errors",
        "modules.azure_transport",
        "modules.folder_errors",
        "modules.folder_files",
        "modules.request_gate",
        "modules.retry",
        "modules.token_bucket",
    },
    {
        "modules.local_files",
        "modules.location",
        "modules.progress",
        "modules.log_lines",
        "modules.settings",
        "modules.settings_sources",
    },
    {"modules.records", "modules.errors", "modules.__init__"},
)
HEAVY = set(
    ["torch", "open_clip", "timm", "ray", "cv2", "faiss", "pandas", "sklearn", "azure", "pyarrow", "kornia", "scipy"]
)
SOURCES = sorted([ROOT / "main.py", ROOT / "pipeline.py", *(ROOT / "modules").rglob("*.py")])
BESIDE = ("tests", "scripts", "benchmarks", "training")
CODE = SOURCES + sorted(path for name in BESIDE for path in (ROOT / name).rglob("*.py"))


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)


def layer(module: str) -> int:
    """The layer whose member ``module`` is or lies in, counted from the top."""
    for number, members in enumerate(LAYERS):
        if any(module == member or module.startswith(member + ".") for member in members):
            return number
    raise AssertionError(f"{module} has no place in LAYERS: give it one, as low as it can be")


def imports(path: Path, *, at_load_only: bool = False) -> Iterator[str]:
    """Dotted names that a file imports anywhere, or only when it is loaded; never those for the type checker."""
    pending: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            base = node.module or ""
            yield from (f"{base}.{alias.name}" if base == "modules" else base for alias in node.names)
        elif isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            pending.extend(node.orelse)
        elif at_load_only and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        else:
            pending.extend(ast.iter_child_nodes(node))


def ours(path: Path, *, at_load_only: bool = False) -> set[str]:
    """What a file imports of the project, as module names."""
    every = imports(path, at_load_only=at_load_only)
    found = {name for name in every if name.split(".")[0] in {"main", "pipeline", "modules"}}
    return {"modules.__init__" if name in {"modules", "modules.__version__"} else name for name in found}


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_imports_point_downwards(path: Path) -> None:
    own = layer(name_of(path))
    upwards = {name for name in ours(path) if layer(name) < own}
    assert not upwards, f"{name_of(path)} imports from above: {sorted(upwards)}"


def test_no_cycles_while_loading() -> None:
    graph = {name_of(path).removesuffix(".__init__"): ours(path, at_load_only=True) for path in SOURCES}
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " -> ".join((*above, name))
        if name not in done:
            for other in graph.get(name, ()):
                visit(other, (*above, name))
            done.add(name)

    for name in graph:
        visit(name, ())
    assert len(done) >= len(graph)


def test_only_the_azure_store_imports_azure() -> None:
    users = {name_of(path) for path in SOURCES if any(name.split(".")[0] == "azure" for name in imports(path))}
    assert users == {"modules.azure_utils", "modules.azure_transport"}


def test_nothing_but_vocabulary_is_imported_by_everything() -> None:
    vocabulary = {"modules.errors", "modules.records", "modules.settings", "modules.__init__"}
    counts: dict[str, int] = {}
    for path in SOURCES:
        for name in ours(path) - vocabulary:
            counts[name] = counts.get(name, 0) + 1
    assert max(counts.values()) <= len(SOURCES) / 3, counts


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys, main\n"
        "try: main.main(['--help'])\n"
        "except SystemExit as end: assert end.code == 0, end.code\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}), sep=',')"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    loaded = set(ended.stdout.splitlines()[-1].split(","))
    assert "click" in loaded
    assert not loaded & HEAVY


@pytest.mark.parametrize("path", CODE, ids=name_of)
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 60, f"{path}:{node.lineno} {node.name}"


def test_the_table_of_settings_is_up_to_date() -> None:
    document = DOCUMENT.read_text(encoding="utf-8")
    assert with_table(document) == document, "run: make docs"
    for name in Settings.model_fields:
        for word in (name, env_name(name), *flag_names(name)):
            assert f"`{word}`" in document


def test_every_command_and_flag_is_documented() -> None:
    documents = "".join((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/settings.md"))
    words = {"imgsieve", "--help", "--version"}
    for name, command in main.cli.commands.items():
        words.add(f"imgsieve {name}")
        words |= {flag for parameter in command.params for flag in parameter.opts if flag.startswith("--")}
    missing = {word for word in words if not re.search(rf"{re.escape(word)}(?![\w-])", documents)}
    assert not missing


def test_every_make_target_is_documented() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    phony = re.search(r"^\.PHONY: (.+)$", makefile, re.MULTILINE)
    assert phony is not None
    documents = "".join((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "CONTRIBUTING.md"))
    assert {target for target in phony[1].split() if f"make {target}" not in documents} == set()


def test_architecture_names_every_file_and_folder_of_modules() -> None:
    document = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    parts = [path for path in (ROOT / "modules").rglob("*.py") if path.name != "__init__.py"]
    assert {path.name for path in parts if path.name not in document} == set()


def test_requirements_are_pinned_and_hold_the_libraries_of_the_owner() -> None:
    lines = [
        line
        for name in ("requirements.txt", "requirements-lite0.txt", "requirements-dev.txt", "constraints.txt")
        for line in (ROOT / name).read_text(encoding="utf-8").splitlines()
        if line and not line.startswith(("#", "-r "))
    ]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9.+]+", line) for line in lines), lines
    runtime = (ROOT / "requirements.txt").read_text(encoding="utf-8")
    fixed = (
        "torch==2.13.0 open_clip_torch timm kornia opencv-python-headless azure-storage-blob faiss-cpu pandas "
        "scikit-learn aiohttp"
    )
    assert {name for name in fixed.split() if not re.search(rf"^{name}(==|$)", runtime, re.MULTILINE)} == set()


def test_the_image_installs_by_the_script_that_the_checks_run() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text(encoding="utf-8")
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "RUN sh scripts/install.sh" in dockerfile
    assert "sh scripts/install.sh" in makefile
    assert 'ENTRYPOINT ["python", "main.py"]' in dockerfile
    assert "USER imgsieve" in dockerfile
