"""The commands that are killed, and what makes them go on."""

from collections.abc import Sequence
from dataclasses import dataclass

TINY = (
    "--set model.dim=4 --set data.limit=96",
    "--set training.batch_size=32",
    "--set training.log_every=2",
    "--set training.keep_checkpoints=2",
    "--set ema.start=0",
    "--set sampling.num_images=2",
    "--set sampling.steps=1",
    "--classes 0,1 --device cpu --seed 1",
)
"""Three steps an epoch."""


def _words(*parts: str) -> tuple[str, ...]:
    return tuple(" ".join(parts).split())


@dataclass(frozen=True)
class Scenario:
    """A command and its resumption; paths are relative to the folder whose files are counted.

    Attributes:
        name: What it is called.
        first: The command.
        again: What a user types when it was killed.
        prepare: The commands before it, which are not killed.
        result: What must be as if nothing had happened.
    """

    name: str
    first: Sequence[str]
    again: Sequence[str]
    prepare: Sequence[Sequence[str]] = ()
    result: str = "."


_TRAIN = _words("train --model unet --out run --epochs 2", *TINY)
_MODEL = _words("train --model unet --out run --epochs 1", *TINY)
_NOISY = _words("--backend fake_manila --shots 32 --hardware-steps 1")
_DRAW = _words("sample run --out drawn --num-images 5 --batch-size 2 --steps 2 --seed 3")

SCENARIOS = (
    Scenario("train", _TRAIN, _words("train --resume --out run")),
    Scenario(
        "train --seeds",
        _words("train --model unet --seeds 2 --out run --epochs 1", *TINY),
        _words("train --resume --out run"),
    ),
    Scenario(
        "train --resume",
        _words("train --resume --out run --epochs 2"),
        _words("train --resume --out run"),
        (_MODEL,),
    ),
    Scenario("sample", _DRAW, (*_DRAW, "--resume"), (_MODEL,), "drawn"),
)
