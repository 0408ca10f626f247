"""Every code block of the README and the documentation runs, and prints what it claims.

The blocks of a page share one namespace. A `text` block right after a `python` block is
what that block prints.
"""

import contextlib
import io
import re
import runpy
import sys
import types
from pathlib import Path

import jax
import matplotlib
import matplotlib.pyplot as plt
import pytest

import asdex

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs" / "pages").rglob("*.md"))]
BLOCK = re.compile(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", re.DOTALL)


@pytest.fixture
def as_a_reader(monkeypatch, tmp_path):
    """JAX's default settings, a folder of one's own, and figures that open no window."""
    monkeypatch.chdir(tmp_path)
    matplotlib.use("Agg")
    jax.config.update("jax_enable_x64", False)  # A page may change it, as users do.
    with jax.numpy_dtype_promotion("standard"):
        yield
    jax.config.update("jax_enable_x64", True)
    plt.close("all")


@pytest.mark.usefixtures("as_a_reader", "without_annotation_checks")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_code_blocks(page):
    text, names = page.read_text(), {"__name__": "docs"}
    for block in BLOCK.finditer(text):
        code, expected = block.groups()
        # Blank lines ahead make line numbers in a traceback those of the page.
        ahead = "\n" * (text.count("\n", 0, block.start(1)))
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(ahead + code, page, "exec"), names)
        if expected is not None:
            assert printed.getvalue() == expected


def test_every_public_name_is_in_the_reference_once():
    public = {
        name
        for name in asdex.__all__
        if not isinstance(getattr(asdex, name), types.ModuleType)
    }
    pages = "".join(page.read_text() for page in (ROOT / "docs/pages/api").glob("*.md"))
    documented = re.findall(r"^::: asdex\.(\w+)$", pages, re.MULTILINE)
    assert len(documented) == len(set(documented))
    assert public == set(documented), "Name it as `::: asdex.NAME` in docs/pages/api."


def test_no_text_installs_the_project_of_that_name_on_the_index():
    texts = [*ROOT.glob("asdex/**/*.py"), *PAGES]
    for path in texts:
        assert not re.search(r"pip install [-e '\"]*asdex", path.read_text()), path


def test_the_example_runs(monkeypatch, tmp_path, capsys):
    picture = tmp_path / "picture.png"
    options = ["--side", "8", "--steps", "3", "--picture", str(picture)]
    monkeypatch.setattr(sys, "argv", ["brusselator.py", *options])
    runpy.run_path(str(ROOT / "docs" / "examples" / "brusselator.py"), run_name="__main__")
    printed = capsys.readouterr().out
    assert "ColoredPattern(128×128, nnz=768" in printed
    assert "jitted jax.jacfwd" in printed
    residual = float(re.findall(r"final residual +(\S+)", printed)[0])
    assert residual < 1e-9
    assert picture.read_bytes().startswith(b"\x89PNG")
    plt.close("all")
