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
    spare = ("paper", "dead_weights", "rounds_per_step", "weights_with_effect", "parameters")
    entries = [dict(entry) for entry in catalog()]
    show_table(entries, columns, output_format, (*spare, "circuits_per_step"))


def configs(output_format: FormatOption = "table") -> None:
    """List what --config takes: the papers' experiments."""
    from qhybrid.settings.recipes import recipes

    columns = ("name", "model", "dataset", "epochs", "summary")
    spare = ("epochs", "dataset", "model")  # the summary has them, too
    show_table([each.record() for each in recipes()], columns, output_format, spare)


def datasets(output_format: FormatOption = "table") -> None:
    """List what --dataset takes."""
    from qhybrid.data.catalog import dataset_catalog

    columns = ("name", "image_size", "channels", "num_classes", "offline", "summary")
    records = [info.record() for info in dataset_catalog()]
    show_table(records, columns, output_format, ("channels", "num_classes"))


def backends(output_format: FormatOption = "table") -> None:
    """List where circuits can run; an account's QPUs, too.

    A fake device, fake_NAME, is a device's last calibration, simulated offline.
    """
    from qhybrid_runtime.backends.catalog import backend_catalog

    columns = ("name", "qubits", "two_qubit_error", "exact", "gradients", "usable", "note")
    spare = ("gradients", "exact", "usable", "two_qubit_error")  # the note says why none is usable
    show_table(backend_catalog(), columns, output_format, spare)
