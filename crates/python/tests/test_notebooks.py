"""The notebooks of the documentation run."""

from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

NOTEBOOKS = Path(__file__).parents[3] / "docs" / "notebooks"
NEEDED = {
    "own_pytorch_model": ("torch", "onnxscript", "matplotlib", "pandas"),
    "comparing_flatness": ("matplotlib", "pandas"),
    "trajectory": ("matplotlib", "xarray"),
    "population": ("matplotlib", "pandas"),
    "operator_with_scipy": ("scipy",),
}


def test_every_notebook_is_run_here():
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == set(NEEDED)


@pytest.mark.parametrize("name", NEEDED)
def test_notebook(name):
    for package in NEEDED[name]:
        pytest.importorskip(package)
    notebook = nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    for cell in notebook.cells:
        assert not cell.get("outputs"), "notebooks are kept without outputs"
    client = nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": NOTEBOOKS}}
    )
    client.execute()
    shown = [out for cell in notebook.cells for out in cell.get("outputs", [])]
    assert any("text/html" in out.get("data", {}) for out in shown)
