"""What is loaded of libraries, and that what is left out is there for whoever needs it later."""

import subprocess
import sys

import diffusers

CODE = """
import sys
from importlib import metadata
from qhybrid.diffusion.schedules import diffusers_scheduler as make

made = make("DPMSolverMultistepScheduler", use_beta_sigmas=True)
print({"torch._dynamo", "scipy.stats"} & set(sys.modules))

from qhybrid.training import run_training

from qhybrid.data.load import load_dataset

load_dataset("digits")
heavy = {"diffusers.models", "diffusers.pipelines", "torchvision", "torchmetrics", "scipy.stats"}
print(heavy & set(sys.modules))

made.set_timesteps(5)
print(*made.sigmas.tolist())

import diffusers.models
import diffusers.pipelines
import torchvision.transforms
from diffusers.utils import import_utils

late = (diffusers.models, diffusers.pipelines, torchvision.transforms)
print(*(module.__spec__.name for module in late))
print("found" in vars(import_utils._package_map))
print(dict(import_utils._package_map) == metadata.packages_distributions())
"""


def test_neither_compiler_networks_nor_statistics_are_loaded_until_they_are_needed() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True)
    of_schedulers, of_training, sigmas, later, *distributions = done.stdout.splitlines()
    assert of_schedulers == "set()"
    assert of_training == "set()"
    assert later == "diffusers.models diffusers.pipelines torchvision.transforms"
    assert distributions == ["False", "True"]
    theirs = diffusers.DPMSolverMultistepScheduler(use_beta_sigmas=True)
    theirs.set_timesteps(5)
    assert [float(each) for each in sigmas.split()] == theirs.sigmas.tolist()
