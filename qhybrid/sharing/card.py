"""The model card of an export."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qhybrid.files import read_json, reading
from qhybrid.influence import in_words, read_influence
from qhybrid.models.spec import ModelSpec
from qhybrid.run_folder import Run
from qhybrid.run_metrics import read_metrics
from qhybrid.version import __version__

if TYPE_CHECKING:
    from qhybrid.sharing.circuits import WrittenCircuit

_CARD = """\
---
license: {licence}
library_name: qhybrid
pipeline_tag: unconditional-image-generation
tags: [quantum, qiskit, diffusion]
---

# {name} on {dataset}

A diffusion model of [qhybrid](https://github.com/qhybrid/qhybrid) {version}: `{name}`,
{size}x{size} pixels, {training}.
{grid}
## How to use it

```python
import qhybrid

pipe = qhybrid.from_pretrained("THIS FOLDER OR REPOSITORY")
pipe(num_images=16).images[0].save("image.png")
```

`qhybrid sample FOLDER --num-images 16` and `qhybrid report FOLDER --target fake_fez` take the
folder, too.

## Figures

| | |
| --- | --- |
{figures}

## Files

`model.safetensors` and `model.json`: weights (moving average) and structure; `config.toml`: every
setting of the training, `qhybrid train --config config.toml` does it again; `config.json`: the
structure for the hub.
{circuits}
## Limits

It draws what it was trained on, at that size, and was measured by no other figures than those
above.
"""


def model_card(
    run: Run,
    spec: ModelSpec,
    *,
    licence: str,
    dead: str = "",
    picture: bool = False,
    written: "Sequence[WrittenCircuit]" = (),
) -> str:
    """Return the text of README.md.

    Args:
        run: The run.
        spec: Its model.
        licence: The identifier of the licence.
        dead: How many weights of circuits have no effect, as text; empty where there are none.
        picture: Whether there is a grid.png.
        written: The circuits that were written.

    Raises:
        RequestError: A file of the run is damaged.
    """
    config = run.config()
    files = [f"- `circuits/{path.name}`" for each in written for path in each.files]
    without = [each.name for each in written if len(each.files) < 2]
    if without:
        files.append(
            f"\nNot in both formats, for these lack one of its gates: {', '.join(without)}."
        )
    drawn = "\n![Images](grid.png)\n" if picture else ""
    circuits = "\nThe trained circuits, weights bound:\n\n" + "\n".join(files) + "\n"
    return _CARD.format(
        licence=licence,
        name=spec.name,
        dataset=config.data.dataset.rpartition("/")[2],
        version=__version__,
        size=spec.image_size,
        training=f"{config.training.epochs} epochs, seed {config.training.seed}, circuits on "
        f"`{config.quantum.backend}`",
        grid=drawn,
        figures="\n".join(f"| {name} | {value} |" for name, value in _figures(run, dead).items()),
        circuits=circuits if files else "",
    )


def _figures(run: Run, dead: str) -> dict[str, str]:
    found: dict[str, str] = {}
    trained = [row for row in read_metrics(run.metrics_file) if row["loss"]]
    if trained:
        found["loss"] = f"{float(trained[-1]['loss']):.4g} at step {trained[-1]['step']}"
    if dead:
        found["dead weights of circuits, without effect on any output"] = dead
    influence = read_influence(run)
    if influence is not None:
        found["influence of the circuits"] = (
            f"{in_words(influence.influence)} ({influence.measured_on})"
        )
    for path in sorted(run.evaluations.glob("epoch-*.json"))[-1:]:
        with reading(f"'{path}' cannot be read", "delete it"):
            record = read_json(path, dict[str, Any])
            for each in record["figures"]:
                text = f"{each['value']:.4g} (95 % interval {each['low']:.4g} to {each['high']:.4g}"
                found[f"{each['name']}, epoch {record['epoch']}"] = (
                    f"{text}; real images {each['floor']:.4g})"
                )
    return found
