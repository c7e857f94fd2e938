"""The shape of the code, read from its syntax trees: what may import what, who owns what, how large a file gets."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LIBRARY, CLI = "adapter_transfer", "adapter_transfer_cli"

LAYERS = {
    **dict.fromkeys(("errors", "registry", "languages", "documents", "config", "canonical", "durable"), 0),
    **dict.fromkeys(("hub", "hub_failures", "hub_lock"), 0),
    "claims": 0,
    **dict.fromkeys(("backbones", "tasks"), 1),
    "methods": 2,
    **dict.fromkeys(("training", "sharing"), 3),
    **dict.fromkeys(("experiments", "sandbox"), 4),
    **dict.fromkeys(("analysis", "prediction"), 5),
    **dict.fromkeys(("publishing", "serving"), 6),
    "api": 7,
}
"""Module or package of the library → layer. An import goes to a lower number, or stays in its package or in layer 0."""

FACADE_LAYER = 1 + max(LAYERS.values())
"""Of `adapter_transfer` itself, which offers names of every layer and loads them when they are used."""

OWNERS: dict[str, tuple[str, ...]] = {
    "accelerate": ("adapter_transfer/training/",),
    "adapters": ("adapter_transfer/backbones/", "adapter_transfer/methods/"),
    "altair": ("adapter_transfer/analysis/",),
    "scipy": ("adapter_transfer/analysis/",),
    "statsmodels": ("adapter_transfer/analysis/statistics/",),
    "seqeval": ("adapter_transfer/tasks/tagging_metric.py",),
    "bitsandbytes": ("adapter_transfer/backbones/quantization.py", "adapter_transfer/training/optimizers.py"),
    "datasets": ("adapter_transfer/tasks/",),
    "fastapi": ("adapter_transfer/serving/",),
    "gradio": ("adapter_transfer/serving/",),
    "huggingface_hub": ("adapter_transfer/hub.py", "adapter_transfer/sharing/hub.py"),
    "jinja2": ("adapter_transfer/analysis/", "adapter_transfer/publishing/"),
    "pandas": ("adapter_transfer/api.py",),
    "pyarrow": (
        "adapter_transfer/tasks/",
        "adapter_transfer/training/",
        "adapter_transfer/experiments/",
        "adapter_transfer/analysis/exports/",
    ),
    "ray": ("adapter_transfer/experiments/ray.py",),
    "rich": ("cli/",),
    "ruamel": ("adapter_transfer/documents.py",),
    "sentencepiece": ("adapter_transfer/backbones/", "adapter_transfer/sandbox/"),
    "tokenizers": ("adapter_transfer/backbones/", "adapter_transfer/sandbox/"),
    "transformers": ("adapter_transfer/backbones/", "adapter_transfer/methods/", "adapter_transfer/sandbox/"),
    "typer": ("cli/",),
    "uvicorn": ("adapter_transfer/serving/",),
    "vl_convert": ("adapter_transfer/analysis/",),
}
"""Package that is heavy, optional or an edge of ours → the files and folders that may import it."""

DISTRIBUTIONS = {"google": "protobuf", "ruamel": "ruamel-yaml", "vl_convert": "vl-convert-python"}
"""Import name → distribution, where they differ."""

LATE = {
    # The parent only hands out runs and must not spend seconds on loading torch; its workers do.
    ("adapter_transfer.experiments.worker", "adapter_transfer.experiments.session"),
    # Checking a stranger's adapter loads torch, which plans without one do without.
    ("adapter_transfer.experiments.pulling", "adapter_transfer.sharing.pull"),
}
"""Imports of our own inside a function, each with its reason: (who, what)."""

MAX_LINES = 400
VAGUE_NAMES = {"utils", "util", "helpers", "common", "manager", "misc"}


@dataclass(frozen=True)
class Import:
    """One imported module, with the line and when it is imported."""

    name: str
    line: int
    is_for_types: bool
    is_in_function: bool


@dataclass(frozen=True)
class Module:
    """A source file of the library or the CLI."""

    path: Path
    name: str

    @property
    def where(self) -> str:
        return self.path.relative_to(ROOT).as_posix()

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.path.read_text(encoding="utf-8"), self.where)

    @property
    def package(self) -> str:
        return self.name if self.path.name == "__init__.py" else self.name.rpartition(".")[0]

    def imports(self) -> Iterator[Import]:
        yield from self._walk(self.tree, is_for_types=False, is_in_function=False)

    def _walk(self, node: ast.AST, *, is_for_types: bool, is_in_function: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                for alias in child.names:
                    yield Import(alias.name, child.lineno, is_for_types, is_in_function)
            elif isinstance(child, ast.ImportFrom):
                for name in self._targets(child):
                    yield Import(name, child.lineno, is_for_types, is_in_function)
            else:
                inside = is_in_function or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                for_types = isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING")
                yield from self._walk(child, is_for_types=is_for_types or for_types, is_in_function=inside)

    def _targets(self, node: ast.ImportFrom) -> Iterator[str]:
        """The modules that `from … import …` names: submodules where there are such, else the module itself."""
        base = node.module or ""
        if node.level:
            parents = self.package.split(".")
            base = ".".join([*parents[: len(parents) - node.level + 1], *filter(None, [node.module])])
        for alias in node.names:
            name = f"{base}.{alias.name}"
            yield name if name in NAMES else base


def _modules() -> list[Module]:
    found = []
    for folder, package in ((LIBRARY, LIBRARY), ("cli", CLI)):
        for path in sorted((ROOT / folder).rglob("*.py")):
            parts = path.relative_to(ROOT / folder).with_suffix("").parts
            found.append(Module(path, ".".join([package, *(part for part in parts if part != "__init__")])))
    return found


MODULES = _modules()
NAMES = {module.name for module in MODULES}
IN_LIBRARY = [module for module in MODULES if module.name.split(".")[0] == LIBRARY]
each_module = pytest.mark.parametrize("module", MODULES, ids=lambda module: module.where)
each_in_library = pytest.mark.parametrize("module", IN_LIBRARY, ids=lambda module: module.where)


def _unit(name: str) -> str | None:
    """The module or package of the library that `name` belongs to; None for anything outside, and for its root."""
    parts = name.split(".")
    return parts[1] if parts[0] == LIBRARY and len(parts) > 1 else None


def _owned(where: str, owners: tuple[str, ...]) -> bool:
    return any(where == owner or (owner.endswith("/") and where.startswith(owner)) for owner in owners)


def _text_files() -> list[Path]:
    """The files that git tracks or would, apart from data; every file of ours where there is no git."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, capture_output=True, check=True).stdout.decode().split("\0")
    except (OSError, subprocess.CalledProcessError):
        listed = [module.where for module in MODULES]
    suffixes = {".py", ".toml", ".txt", ".md", ".yaml", ".yml", ".html", ".css", ".js", ".cfg", ".sh", ""}
    paths = [ROOT / name for name in listed if name and Path(name).suffix in suffixes]
    return [path for path in paths if path.is_file()]


@each_in_library
def test_every_part_has_a_layer(module: Module) -> None:
    unit = _unit(module.name)
    assert unit is None or unit in LAYERS, f"give {unit!r} a layer in {Path(__file__).name}"


@each_in_library
def test_imports_point_down(module: Module) -> None:
    unit = _unit(module.name)
    wrong = []
    for imported in module.imports():
        target = _unit(imported.name)
        if target is None or target == unit:
            continue
        own, other = (FACADE_LAYER if unit is None else LAYERS[unit]), LAYERS.get(target, 0)
        if not (other < own or own == other == 0):
            wrong.append(f"{module.where}:{imported.line}: imports {imported.name} (layer {other}, its own is {own})")
    assert not wrong, "\n".join(wrong)


def test_the_package_itself_imports_nothing_of_its_own() -> None:
    (facade,) = (module for module in MODULES if module.name == LIBRARY)
    assert not [item for item in facade.imports() if not item.is_for_types and item.name.split(".")[0] == LIBRARY]


def test_no_cycles_not_even_by_way_of_functions() -> None:
    graph = {
        module.name: {item.name for item in module.imports() if not item.is_for_types and item.name in NAMES}
        - {module.name}
        for module in MODULES
    }
    try:
        tuple(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


@each_in_library
def test_the_library_does_not_know_the_cli(module: Module) -> None:
    assert not [item for item in module.imports() if item.name.split(".")[0] in (CLI, "cli")]


@each_in_library
def test_our_own_modules_are_imported_at_the_top(module: Module) -> None:
    late = {item.name for item in module.imports() if item.is_in_function and item.name.split(".")[0] == LIBRARY}
    wrong = {name for name in late if (module.name, name) not in LATE}
    assert not wrong, f"import at the top, or move what is needed to a lower layer: {', '.join(sorted(wrong))}"


@each_in_library
def test_only_heavy_packages_are_imported_late(module: Module) -> None:
    light = [
        f"{module.where}:{item.line}: {item.name}"
        for item in module.imports()
        if item.is_in_function and item.name.split(".")[0] not in {*OWNERS, *sys.stdlib_module_names, LIBRARY}
    ]
    assert not light, "import these at the top: " + ", ".join(light)


@each_module
def test_heavy_packages_stay_with_their_owners(module: Module) -> None:
    wrong = [
        f"{module.where}:{item.line}: {package} belongs to {', '.join(OWNERS[package])}"
        for item in module.imports()
        if (package := item.name.split(".")[0]) in OWNERS and not _owned(module.where, OWNERS[package])
    ]
    assert not wrong, "\n".join(wrong)


def test_analysis_needs_no_torch() -> None:
    names = [module.name for module in IN_LIBRARY if _unit(module.name) == "analysis"]
    code = "import importlib, sys\nfor name in sys.argv[1:]: importlib.import_module(name)\n"
    code += "print(*sorted({'torch', 'transformers', 'adapters', 'accelerate'} & set(sys.modules)))"
    command = [sys.executable, "-c", code, *names]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == []


@each_module
def test_files_are_small_and_say_what_they_own(module: Module) -> None:
    text = module.path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= MAX_LINES, "where a file grows this long it is two files"
    assert ast.get_docstring(module.tree), "a module begins with a docstring"
    assert module.path.stem not in VAGUE_NAMES, "a file is named after what it owns"


@each_in_library
def test_only_the_cli_prints(module: Module) -> None:
    calls = [node for node in ast.walk(module.tree) if isinstance(node, ast.Call)]
    lines = [call.lineno for call in calls if isinstance(call.func, ast.Name) and call.func.id == "print"]
    assert not lines, f"{module.where} prints in lines {lines}; log, or return what is to be printed"


def test_no_machine_and_no_registry_is_named() -> None:
    folders = r"(?<![\w.$}~])/(?:" + "|".join(["work", "home", "root", "mnt", "Users"]) + r")/\w+"
    hosts = "|".join(["pypi" + r"\.org", "python" + "hosted", "download" + r"\.pytorch", "conda" + r"\.anaconda"])
    pattern = re.compile(f"{folders}|{hosts}")
    wrong = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in _text_files()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if pattern.search(line)
    ]
    assert not wrong, "\n".join(wrong)


def _project() -> dict[str, object]:
    with (ROOT / "pyproject.toml").open("rb") as file:
        loaded: dict[str, object] = tomllib.load(file)
    return loaded


def test_every_package_is_in_the_wheel() -> None:
    project: dict = _project()
    listed = set(project["tool"]["setuptools"]["packages"])
    packages = {module.name for module in MODULES if module.path.name == "__init__.py"} | {"adapter_transfer_configs"}
    assert packages <= listed, "add these to tool.setuptools.packages in pyproject.toml"
    folders = {(*module.path.parent.relative_to(ROOT).parts,) for module in MODULES}
    without_init = [folder for folder in folders if not ROOT.joinpath(*folder, "__init__.py").exists()]
    assert not without_init, "a folder with modules needs an __init__.py, or the wheel lacks it"


def test_every_third_party_import_is_declared() -> None:
    project: dict = _project()
    extras = project["project"].get("optional-dependencies", {})
    lines = [*project["project"]["dependencies"], *(line for name in extras if name != "dev" for line in extras[name])]
    declared = {re.split(r"[^\w.-]", line)[0].lower().replace("_", "-").replace(".", "-") for line in lines}
    wrong = {
        f"{module.where}: {package}"
        for module in MODULES
        for item in module.imports()
        if (package := item.name.split(".")[0]) not in {*sys.stdlib_module_names, LIBRARY, CLI}
        and DISTRIBUTIONS.get(package, package.replace("_", "-")) not in declared
    }
    assert not wrong, "\n".join(sorted(wrong))


def test_every_dependency_has_a_pinned_version() -> None:
    project: dict = _project()
    lines = [*project["project"]["dependencies"], *project["project"]["optional-dependencies"]["dev"]]
    wanted = {re.split(r"[^\w.-]", line)[0].lower().replace("_", "-") for line in lines}
    pins = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", pin) for pin in pins), "exact versions, without a build's local suffix"
    assert wanted <= {pin.split("==")[0].lower().replace("_", "-") for pin in pins}
