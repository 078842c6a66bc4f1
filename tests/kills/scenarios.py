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
        halfway: The last command before it is killed after half of its file operations, so that
            what is killed is its resumption.
        qpu: A fake QPU that IBM's own client finds at a loopback service; "" for none.
    """

    name: str
    first: Sequence[str]
    again: Sequence[str]
    prepare: Sequence[Sequence[str]] = ()
    result: str = "."
    halfway: bool = False
    qpu: str = ""


_TRAIN = _words("train --model unet --out run --epochs 2", *TINY)
_MODEL = _words("train --model unet --out run --epochs 1", *TINY)
_GO_ON = _words("train --resume --out run")
_HYBRID = _words(
    "train --model qlatent --out run --epochs 1 --set model.ansatz=reupload",
    "--set model.ansatz_layers=2",
    *TINY,
    "--set model.dim=3",
)
_DRAW = _words("sample run --out drawn --num-images 120 --batch-size 10 --steps 2 --seed 3")
_DEVICE = _words(
    "sample run --out drawn --num-images 1 --steps 2 --seed 3 --shots 8 --backend ibm_manila --yes"
)
_EVALUATE = _words("evaluate drawn --out results --num-images 100")

SCENARIOS = (
    Scenario("train", _TRAIN, _GO_ON),
    Scenario("train --resume", (*_GO_ON, "--epochs", "2"), _GO_ON, (_MODEL,)),
    Scenario("train --resume of a killed run", _GO_ON, _GO_ON, (_TRAIN,), halfway=True),
    Scenario("train --seeds 2", (*_MODEL, "--seeds", "2"), _GO_ON),
    Scenario("sample", _DRAW, (*_DRAW, "--resume"), (_MODEL,), "drawn"),
    Scenario(
        "sample --resume",
        (*_DRAW, "--resume"),
        (*_DRAW, "--resume"),
        (_MODEL, _DRAW),
        "drawn",
        halfway=True,
    ),
    Scenario(
        "sample on a QPU", _DEVICE, (*_DEVICE, "--resume"), (_HYBRID,), "drawn", qpu="fake_manila"
    ),
    Scenario(
        "sample --resume on a QPU",
        (*_DEVICE, "--resume"),
        (*_DEVICE, "--resume"),
        (_HYBRID, _DEVICE),
        "drawn",
        halfway=True,
        qpu="fake_manila",
    ),
    Scenario("evaluate", _EVALUATE, _EVALUATE, (_MODEL, _DRAW), "results"),
    Scenario(
        "evaluate of a run",
        _words("evaluate run --out results --num-images 100"),
        _words("evaluate run --out results --num-images 100"),
        (_MODEL,),
    ),
)
