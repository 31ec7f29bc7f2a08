"""A wheel built from the project, installed elsewhere, is the whole program."""

import ast
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(arguments: list, **options) -> subprocess.CompletedProcess:
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        **options,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """A wheel of the checkout, built of a copy so that the checkout stays clean."""
    source = tmp_path_factory.mktemp("source")
    names = ("biggan_tf", "gin", "setup.py", "README.md", "LICENSE", "NOTICE")
    for name in (*names, "MANIFEST.in", "constraints.txt"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, source / name)
    folder = tmp_path_factory.mktemp("wheel")
    pip = ["-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index"]
    run([*pip, "--wheel-dir", folder, source])
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_carries_recipes_images_and_licences(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    recipes = {f"biggan_tf/gin/{path.name}" for path in (ROOT / "gin").glob("*.gin")}
    assert recipes
    assert recipes <= names
    assert "biggan_tf/data/fashion_mnist.npy.xz" in names
    assert "biggan_tf/data/fashion_mnist.LICENSE" in names
    modules = {str(p.relative_to(ROOT)) for p in (ROOT / "biggan_tf").rglob("*.py")}
    assert modules <= names
    assert {Path(name).name for name in names} >= {"LICENSE", "NOTICE"}
    assert not [name for name in names if name.startswith(("tests", "tools", "gin"))]


def test_an_installed_wheel_takes_a_recipe_by_its_bare_name(wheel, tmp_path):
    target, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    run(["-m", "pip", "install", "--no-deps", "--no-index", "--target", target, wheel])
    environment = {**os.environ, "PYTHONPATH": str(target)}
    del environment["TF_CPP_MIN_LOG_LEVEL"]  # of the tests
    found = run(
        ["-c", "import biggan_tf; print(biggan_tf.__file__)"],
        cwd=elsewhere,
        env=environment,
    )
    assert found.stdout.startswith(str(target))
    train = target / "bin" / "biggan-train"
    plan = [train, "--gin_file=test.gin", "--dry_run"]
    planned = run(plan, cwd=elsewhere, env=environment)
    assert "train.total_steps = 8" in planned.stdout
    assert "8,000 images" in planned.stdout
    assert not planned.stderr
    assert not list(elsewhere.iterdir())
    helped = run([train, "--help"], cwd=elsewhere, env=environment)
    assert "Running the same command again goes on" in helped.stdout
    assert "--[no]dry_run" in helped.stdout
    assert "--gin_param" in helped.stdout


def test_flags_are_parsed_without_tensorflow():
    for name in ("train", "export", "sample", "evaluate", "report", "explore"):
        code = f"import sys, biggan_tf.{name}; print('tensorflow' in sys.modules)"
        assert run(["-c", code], cwd=ROOT).stdout == "False\n", name


def test_every_integer_flag_has_both_bounds():
    """So that the flag's own message names what would be right."""
    for path in [*ROOT.glob("biggan_tf/**/*.py"), *ROOT.glob("tools/*.py")]:
        for node in ast.walk(ast.parse(path.read_text())):
            if "DEFINE_integer" in ast.unparse(getattr(node, "func", ast.Name("", 0))):
                assert len(node.args) == 5, f"{path}:{node.lineno}"
