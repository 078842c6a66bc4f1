"""Drawing by the processes that torchrun, srun or mpirun started: each one its share of the parts.

All write into one folder, which the first one claims, and puts together. Images depend on the seed
and their number alone, so that it does not matter who draws which.
"""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from qhybrid.chatter import without_chatter
from qhybrid.diffusion.noise_pool import open_noise
from qhybrid.launcher import Layout
from qhybrid.ranks import RankLost, make_fabric, together
from qhybrid.sampling.denoiser import denoiser
from qhybrid.sampling.drawing import DrawingBar, draw_here
from qhybrid.sampling.folder import SamplingRun
from qhybrid.sampling.parts import Artist
from qhybrid.sampling.plan import SamplingPlan
from qhybrid.signals import handling
from qhybrid.torch_device import choose_device
from qhybrid_runtime import get_backend


def draw_together(
    artist: Artist, missing: Sequence[range], bar: DrawingBar, layout: Layout
) -> None:
    """Draw parts as the first of several processes; all of them are there afterwards.

    Raises:
        RankLost: Another process was ended; finished parts are kept.
    """
    fabric = make_fabric(layout, artist.device, [])
    going_on = artist.run.going_on(artist.plan.run)
    with without_chatter(), together(fabric, going_on) as ranks:
        ranks.from_first((str(artist.run.folder.absolute()), list(missing)))
        draw_here(artist, missing[:: ranks.size], lambda images: bar.add(images * ranks.size))
        ranks.any(False)


def help_drawing(plan: SamplingPlan, layout: Layout) -> SamplingRun:
    """Draw parts as another one of the processes; return the folder that all are in.

    Raises:
        SystemExit: The first one was ended.
    """
    device = choose_device(plan.device)
    fabric = make_fabric(layout, device, [])
    try:
        # The first one is told of signals, too, and says what to do next.
        with (
            handling([signal.SIGTERM], signal.SIG_IGN),
            without_chatter(),
            together(fabric, "go on with --resume") as ranks,
        ):
            folder, missing = ranks.from_first(None)
            run, backend = (
                SamplingRun(Path(folder)),
                get_backend(plan.backend, **plan.backend_options()),
            )
            noise = open_noise(plan.noise, plan.pool_file(run), seed=plan.seed)
            artist = Artist(plan, denoiser(plan, backend, device), device, noise, run)
            draw_here(artist, missing[ranks.rank :: ranks.size], lambda _: None)
            ranks.any(False)
            return run
    except RankLost as error:
        print(f"error: {error}", file=sys.stderr, flush=True)  # noqa: T201
        raise SystemExit(1) from error
