"""`qhybrid models`, `configs`, `datasets` and `backends`: what exists, made without torch."""

from typing import Annotated

import typer

from qhybrid.cli.tables import Format, show_table

FormatOption = Annotated[
    Format, typer.Option("--format", help="How to print: table, md or json.", show_choices=False)
]


def models(output_format: FormatOption = "table") -> None:
    """List the models, with their size at 28x28 grey images."""
    from qhybrid.models.catalog import CatalogEntry, catalog

    columns = tuple(CatalogEntry.__annotations__)
    show_table([dict(entry) for entry in catalog()], columns, output_format)


def configs(output_format: FormatOption = "table") -> None:
    """List what --config takes: the papers' experiments."""
    from qhybrid.settings.recipes import recipes

    columns = ("name", "model", "dataset", "epochs", "summary")
    show_table([each.record() for each in recipes()], columns, output_format)


def datasets(output_format: FormatOption = "table") -> None:
    """List what --dataset takes."""
    from qhybrid.data.catalog import dataset_catalog

    columns = ("name", "image_size", "channels", "num_classes", "offline", "summary")
    show_table([info.record() for info in dataset_catalog()], columns, output_format)


def backends(output_format: FormatOption = "table") -> None:
    """List where circuits can run, with the QPUs of the account where one is saved.

    A fake device, fake_NAME, is a device's last calibration, simulated offline.
    """
    from qhybrid_runtime.backends.catalog import backend_catalog

    columns = ("name", "qubits", "two_qubit_error", "exact", "gradients", "usable", "note")
    show_table(backend_catalog(), columns, output_format)
