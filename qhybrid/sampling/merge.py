"""Putting the shards of one sampling run together."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from qhybrid.arrays import read_array
from qhybrid.files import read_json, reading, replacing, sealed, user_path, write_json
from qhybrid.run_folder import Run, check_free, open_run
from qhybrid.run_lock import occupied
from qhybrid.sampling.folder import SamplingRun
from qhybrid.sampling.parts import save_plan
from qhybrid.sampling.plan import SamplingPlan, plan_sampling
from qhybrid.sampling.results import results_of
from qhybrid_circuits.errors import RequestError


def merge_shards(
    run: Run | Path | str, folders: Sequence[Path | str], *, out: Path | str | None = None
) -> SamplingRun:
    """Write the sampling run that one process would have drawn from the shards that several did.

    Args:
        run: The training run that all were drawn from.
        folders: The shards' folders, in any order.
        out: The new sampling run's folder; None takes `RUN/samplings/SAMPLER-N`.

    Raises:
        RequestError: A shard is missing, not finished, or of other images than the others.
    """
    run = run if isinstance(run, Run) else open_run(Path(run))
    folder = None if out is None else user_path(out)
    if folder is not None:
        check_free(folder)
    shards = [(SamplingRun(user_path(each)), _kept(user_path(each))) for each in folders]
    _check_alike(shards)
    plans = [plan_sampling(run, sampling.plan()) for sampling, _ in shards]
    shards = [shards[i] for i in sorted(range(len(plans)), key=lambda i: plans[i].shard)]
    plans.sort(key=lambda plan: plan.shard)
    _check_complete(plans)
    if shards[0][1].get("weights") != plans[0].weights_sha256:
        raise RequestError(
            f"'{folders[0]}' was drawn with other weights than those of '{run.folder}'; give the "
            "run that the shards were drawn from"
        )
    arrays = _arrays([sampling for sampling, _ in shards], plans)
    whole = replace(plans[0], shard=(1, 1))
    with occupied(folder, "sampling into", root=run.samplings, stem=whole.sampler) as path:
        merged = SamplingRun(path)
        first = shards[0][0]
        results = results_of(whole)
        results.write(merged, arrays)
        for name in results.pictures:
            if getattr(first, name).is_file():
                with replacing(getattr(merged, name)) as temporary:
                    shutil.copyfile(getattr(first, name), temporary)
        save_plan(merged, whole)
        manifest = _manifest(run, [sampling for sampling, _ in shards])
        write_json(merged.manifest_file, sealed(manifest))
    return merged


def _kept(folder: Path) -> dict[str, Any]:
    """Return the plan of a finished shard."""
    sampling = SamplingRun(folder)
    if not sampling.plan_file.is_file():
        raise RequestError(
            f"'{folder}' holds no sampling run; give the folders of `qhybrid sample --shard K/N`"
        )
    if not sampling.manifest_file.is_file():
        raise RequestError(
            f"the sampling run in '{folder}' is not finished; go on with `qhybrid sample RUN "
            f"--resume --out {folder}` first"
        )
    kept = sampling.kept_plan()
    if "shard" not in kept:
        raise RequestError(
            f"'{folder}' is no shard but a whole sampling run; give the folders of `qhybrid sample "
            "--shard K/N`"
        )
    return kept


def _check_alike(shards: Sequence[tuple[SamplingRun, dict[str, Any]]]) -> None:
    """Refuse shards of different requests, or of different weights."""
    first, before = shards[0]
    for sampling, kept in shards[1:]:
        for name in sorted((before.keys() | kept.keys()) - {"shard"}):
            if before.get(name) != kept.get(name):
                raise RequestError(
                    f"'{sampling.folder}' was drawn with {name} {kept.get(name)}, but "
                    f"'{first.folder}' with {before.get(name)}; draw one of them again"
                )


def _check_complete(plans: Sequence[SamplingPlan]) -> None:
    """Refuse a set in which a shard is missing, or there twice."""
    count = plans[0].shard[1]
    found = [plan.shard for plan in plans]
    for number in range(1, count + 1):
        if found.count((number, count)) != 1:
            what = "missing" if (number, count) not in found else "given twice"
            raise RequestError(
                f"shard {number}/{count} is {what}; give each of the {count} shards once"
            )
    for number, shards in found:
        if shards != count:
            raise RequestError(
                f"shard {number}/{shards} is given beside those of {count}; leave it out"
            )


def _arrays(shards: Sequence[SamplingRun], plans: Sequence[SamplingPlan]) -> dict[str, Any]:
    """Return all images, and labels where there are any, in order; they are in memory once."""
    results = results_of(plans[0])
    names = (results.key,) if plans[0].classes is None else (results.key, "labels")
    arrays: dict[str, Any] = {}
    layout, done = f"a shard has '{results.key}'", 0
    for sampling, plan in zip(shards, plans, strict=True):
        count = sum(map(len, plan.parts))
        for name in names:
            file = results.file(sampling)
            values = read_array(file, name, str(file), layout)
            if len(values) != count:
                raise RequestError(
                    f"'{file}' has {len(values)} {name} instead of {count}; draw the shard again"
                )
            shape = (plan.num_images, *values.shape[1:])
            arrays.setdefault(name, np.empty(shape, values.dtype))[done : done + count] = values
        done += count
    return arrays


def _manifest(run: Run, shards: Sequence[SamplingRun]) -> dict[str, Any]:
    """Return the first shard's manifest, with the time of all and where they were."""
    manifests = []
    for sampling in shards:
        with reading(f"'{sampling.manifest_file}' cannot be read", "draw the shard again"):
            manifest = read_json(sampling.manifest_file, dict[str, Any])
            manifests.append({**manifest, "seconds": float(manifest["seconds"])})
    first = {name: value for name, value in manifests[0].items() if name != "shard"}
    seconds = round(sum(each["seconds"] for each in manifests), 3)
    merged = [str(sampling.folder.resolve()) for sampling in shards]
    return {**first, "run": str(run.folder.resolve()), "seconds": seconds, "merged": merged}
