"""The layout of the package: which module may import which, and what names say."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "biggan_tf"

# A module imports only modules of the ranks above its own line.
RANKS = (
    {"errors", "keras"},
    {"checks", "files", "losses", "moving_average", "process"},
    {"config"},
    {"alarms", "checkpoints", "distribution", "images", "labels", "latents", "layers"},
    {"architecture", "augment", "data", "features", "metrics", "update"},
    {"biggan", "data_json", "regularisers", "standing"},
    {"biggan_deep"},
    {"directions", "gan", "networks"},
    {"sampling"},
    {"evaluation", "monitor", "run", "sample_folder", "saved_model", "sheets"},
    {"films", "given", "model_card", "plan", "projection", "reports", "tiles"}
    | {"weights"},
    {"logs"},
    {"loop"},
    {"api"},
    {"cluster", "evaluate", "explorer", "export", "import_weights", "make_reference"}
    | {"plot_spectra", "prepare_dataset", "project", "report", "sample", "train"},
    {"explore"},
)
RANK = {module: rank for rank, modules in enumerate(RANKS) for module in modules}

FILES = sorted(PACKAGE.rglob("*.py"))


def module_of(path: Path) -> str:
    """The top-level module that a file belongs to: a folder counts as one module."""
    first = path.relative_to(PACKAGE).parts[0]
    return "" if first == "__init__.py" else first.removesuffix(".py")


def imported(path: Path) -> set[str]:
    """The top-level modules of the package that a file imports, wherever in it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: write the import in full"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    parts = [name.split(".") for name in found]
    return {name[1] for name in parts if name[0] == "biggan_tf" and len(name) > 1}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_imports_only_lower_ranks(path):
    module = module_of(path)
    if not module:
        assert imported(path) == {"api"}, "biggan_tf/__init__.py offers the API alone"
        return
    assert module in RANK, f"give biggan_tf.{module} its place in RANKS of this test"
    for other in imported(path) - {module, "__version__"}:
        assert other in RANK, (
            f"{path.name} imports biggan_tf.{other}, which has no rank"
        )
        assert RANK[other] < RANK[module], (
            f"biggan_tf.{module} (rank {RANK[module]}) imports "
            f"biggan_tf.{other} (rank {RANK[other]})"
        )


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_module_says_what_it_is(path):
    assert ast.get_docstring(ast.parse(path.read_text())), f"{path} has no docstring"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_and_functions_stay_short(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            lines = node.end_lineno - node.lineno + 1
            assert lines <= 80, f"{path}: {node.name} has {lines} lines"


def test_names_say_what_is_inside():
    vague = {"utils", "util", "helpers", "helper", "common", "misc"}
    paths = [
        path
        for folder in ("biggan_tf", "tests", "tools")
        for path in (ROOT / folder).rglob("*")
    ]
    assert not [path for path in paths if path.stem.lower() in vague]


def test_the_folder_of_gin_files_does_not_shadow_the_library():
    assert not list((ROOT / "gin").rglob("*.py"))
    assert not (PACKAGE / "gin").exists(), (
        "setup.py copies gin/ only into what it builds"
    )


def test_nothing_imports_the_tools():
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module]
            else:
                continue
            assert not [n for n in names if n.split(".")[0] in ("tools", "tests")], path
