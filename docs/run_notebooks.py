"""Run the notebooks of the documentation, and keep in them what they show.

    python docs/run_notebooks.py [NAME...]

runs docs/notebooks/NAME.ipynb, or all, each in a kernel and an empty folder of its own.
"""

import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).with_name("notebooks")


def main(names: list[str]) -> None:
    """Run notebooks by their names, or all."""
    for path in sorted(FOLDER.glob("*.ipynb")):
        if names and path.stem not in names:
            continue
        notebook = nbformat.read(path, as_version=4)
        with tempfile.TemporaryDirectory() as folder:
            client = NotebookClient(notebook, resources={"metadata": {"path": folder}})
            client.execute()
        for cell in notebook.cells:
            cell.metadata.pop("execution", None)  # times
            if cell.cell_type == "code":
                # What libraries say of this machine, and progress.
                cell.outputs = [each for each in cell.outputs if each.get("name") != "stderr"]
        nbformat.write(notebook, path)
        print(path.name, f"{path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(sys.argv[1:])
