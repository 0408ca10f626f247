"""The examples run, at small sizes, and print what they promise."""

import importlib.util
import os
import re
import runpy
import shutil
import subprocess
import sys
import types
from pathlib import Path

import jax
import pytest
from jax.test_util import check_grads

FOLDER = Path(__file__).parent.parent / "docs" / "examples"


@pytest.fixture
def run(monkeypatch, capsys):
    """Run an example as its reader does, and return what it prints."""

    def run(name, *options):
        monkeypatch.setattr(sys, "argv", [name, *options])
        runpy.run_path(str(FOLDER / name), run_name="__main__")
        return capsys.readouterr().out

    return run


def number(before, text):
    """The number that follows a text, whatever the spaces."""
    return float(re.findall(rf"{before}\s+([\d.e+-]+)", text)[0])


def test_implicit_layer(run):
    sizes = ["--side", "8", "--dense-side", "8", "--samples", "2", "--steps", "30"]
    printed = run("implicit_layer.py", *sizes)
    assert number("relative difference", printed) < 1e-8
    before, after = re.findall(r"loss +(\S+) to (\S+)", printed)[0]
    assert float(after) < float(before) / 10


def test_the_layer_has_exact_derivatives():
    names = types.SimpleNamespace(**runpy.run_path(str(FOLDER / "implicit_layer.py")))
    layer, before, after = names.problem(6, 1)

    @jax.jit
    def loss(layer):
        return names.loss(layer, before, after, names.sparse_correction)

    check_grads(loss, (layer,), order=1, modes=["rev"])


def test_hosts():
    """The example starts processes, of which each has devices of its own, and which compare
    their parts with the result of one."""
    found = subprocess.run(
        [sys.executable, str(FOLDER / "hosts.py")],
        env={**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(FOLDER.parents[1])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    for process in range(2):
        assert f"process {process} of 2 holds [32] of 64 lines" in found.stdout


@pytest.mark.skipif(
    importlib.util.find_spec("petsc4py") is None or shutil.which("mpirun") is None,
    reason="petsc4py or MPI is not installed",
)
def test_petsc():
    """Residual and matrix of both processes are those that SciPy computes."""
    program = [sys.executable, str(FOLDER / "petsc.py"), "--side", "12"]
    found = subprocess.run(
        ["mpirun", "--oversubscribe", "-n", "2", *program],
        env={
            **os.environ,
            "JAX_PLATFORMS": "cpu",
            "PYTHONPATH": str(FOLDER.parents[1]),
            "OMPI_ALLOW_RUN_AS_ROOT": "1",
            "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert "process 0 of 2: rows 0 to 72" in found.stdout
    assert "process 1 of 2: rows 72 to 144" in found.stdout
    for name, most in ("residual", 1e-12), ("difference", 1e-14):
        differences = re.findall(rf"{name} ([\d.e+-]+)", found.stdout)
        assert len(differences) == 2
        assert max(map(float, differences)) < most


def test_bratu(run):
    printed = run("bratu.py", "--side", "20", "--dense-side", "10")
    residuals = [float(found) for found in re.findall(r"residual (\S+),", printed)]
    assert len(residuals) == 5
    assert max(residuals) < 1e-8
    # Dense, sparse and by hand take the same steps.
    assert len(set(re.findall(r"(\d+) iterations", printed))) == 1


def test_ensemble(run):
    printed = run("ensemble.py", "--size", "1000", "--dense-size", "20", "--members", "8")
    assert "8 of 8 converged" in printed
    theory = number("in theory", printed)
    assert number("fastest reaction +effectiveness", printed) == pytest.approx(theory, 0.01)
