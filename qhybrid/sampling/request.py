"""What to draw and where, as it is asked for; imports nothing heavy."""

from dataclasses import asdict, dataclass, field
from typing import Annotated, Any, Literal

from qhybrid.settings.option import Option
from qhybrid_circuits.errors import RequestError


@dataclass(frozen=True)
class ExecutionRequest:
    """How circuits are run where their values are not exact; None takes the backend's default.

    Attributes:
        shots: Executions of a circuit with one image's inputs.
        mitigate: A mitigation of errors by name; `auto` is the most accurate of those that pay and
            fit the QPU seconds that are allowed.
        primitive: `estimator` or `sampler`.
        resilience_level: Error mitigation of the estimator: 0 none, 1 readout, 2 extrapolation.
        dynamical_decoupling: Whether pulses are played on qubits that wait.
        twirling: Whether gates are twirled.
        pack: Images that share an execution side by side, or `auto`; a number may be text.
        fractional: Whether to use rzz and rx of any angle.
        mode: `session`, `batch` or `job`, on IBM's QPUs.
    """

    shots: Annotated[
        int | None, Option("Executions per circuit and image [1024].", metavar="N")
    ] = None
    mitigate: Annotated[
        Literal["none", "readout", "dd", "twirl", "zne", "pec", "auto"] | None,
        Option("Mitigation of errors: none, readout, dd, twirl, zne, pec, auto [readout]."),
    ] = None
    primitive: Annotated[Literal["estimator", "sampler"] | None, Option("On QPUs [estimator].")] = (
        None
    )
    resilience_level: Annotated[
        int | None, Option("Error mitigation of the estimator [1: readout].", metavar="0-2")
    ] = None
    dynamical_decoupling: Annotated[
        bool | None, Option("Play pulses on waiting qubits.", flag="--dynamical-decoupling")
    ] = None
    twirling: Annotated[bool | None, Option("Twirl gates.", flag="--twirling/--no-twirling")] = None
    pack: Annotated[
        int | str | None,
        Option("Images side by side in one execution [1].", metavar="auto|N", text=True),
    ] = None
    fractional: Annotated[
        bool | None, Option("Use rzz and rx of any angle.", flag="--fractional")
    ] = None
    mode: Annotated[
        Literal["session", "batch", "job"] | None,
        Option("Execution mode on IBM's QPUs [by plan]."),
    ] = None

    def __post_init__(self) -> None:
        """Read `pack`.

        Raises:
            RequestError: It is text, but not `auto` or a whole number from 1.
        """
        if isinstance(self.pack, str) and self.pack != "auto":
            try:
                number = int(self.pack)
            except ValueError:
                number = 0
            if number < 1:
                raise RequestError(
                    f"--pack must be auto or a whole number from 1, but is '{self.pack}'"
                )
            object.__setattr__(self, "pack", number)

    def given(self) -> dict[str, Any]:
        """What was asked for, as keyword arguments of `get_backend`."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class SamplingRequest:
    """What to draw; None everywhere takes what the training run was configured with.

    Attributes:
        num_images: How many images; 64 where omitted.
        sampler: A key of `qhybrid.diffusion.SAMPLERS`.
        steps: Model evaluations per image. Without it, a sampler that is not the configured one
            takes its own default, and a QPU 10.
        variance: Of a step of the sampler `ddpm`: a key of `qhybrid.diffusion.specs.VARIANCES`.
        backend: Where the circuits run.
        seed: Of the noise: the same seed gives the same images on an exact backend.
        noise_source: A key of `qhybrid.diffusion.specs.NOISE_SOURCES`.
        noise_pool: Numbers of quantum noise that are measured before the first image; without it
            those of a training run on the same backend serve, if it has any.
        batch_size: Images in one evaluation of the model; 256 where omitted.
        processes: How many draw side by side on this machine; one on a QPU.
        epoch: An epoch whose weights were kept, or `best`; the newest weights where omitted.
        shard: `K/N` draws the K-th of N parts, for N machines; all images where omitted.
        device: Where the network runs: `auto`, `cpu` or `cuda`.
        execution: How circuits are run, for backends that are not exact.
        hardware_steps: How many of the last steps run on the backend, the others on `statevector`;
            all where omitted.
        max_qpu_seconds: QPU time that must not be exceeded.
        max_wait_seconds: How long to wait for a job, in the queue and running; for ever if omitted.

    Example:
        >>> import qhybrid
        >>> qhybrid.SamplingRequest(num_images=16, sampler="ddim", backend="aer").num_images
        16
    """

    num_images: Annotated[int | None, Option("How many images [64].", metavar="N")] = None
    sampler: Annotated[
        str | None,
        Option(
            "ddpm, ddim, dpm++, sde-dpm++, sde, pc, ode or heun [the run's; ddim on a QPU].",
            metavar="NAME",
        ),
    ] = None
    steps: Annotated[
        int | None, Option("Denoising steps [the run's, or the sampler's; 10].", metavar="N")
    ] = None
    variance: Annotated[
        str | None,
        Option("Of a step of ddpm: posterior, beta, learned [the run's].", metavar="NAME"),
    ] = None
    backend: Annotated[
        str | None, Option("Where circuits run [the training run's backend].", metavar="NAME")
    ] = None
    seed: Annotated[int | None, Option("Of the noise [the run's seed].", metavar="N")] = None
    noise_source: Annotated[
        str | None,
        Option("gaussian, or quantum: measured on the backend [the run's].", metavar="NAME"),
    ] = None
    noise_pool: Annotated[
        int | None, Option("Numbers of quantum noise measured once [as needed].", metavar="N")
    ] = None
    batch_size: Annotated[
        int | None, Option("Images in one evaluation of the model [256].", metavar="N")
    ] = None
    processes: Annotated[
        int | None, Option("Processes that draw side by side [1].", metavar="N")
    ] = None
    epoch: Annotated[
        str | None,
        Option("Weights of a kept epoch, or the best [the newest].", metavar="N|best", text=True),
    ] = None
    shard: Annotated[
        str | None,
        Option("Draw part K of N, for several machines; see --merge.", metavar="K/N", text=True),
    ] = None
    device: str = "auto"
    execution: ExecutionRequest = field(default_factory=ExecutionRequest)
    hardware_steps: Annotated[
        int | None, Option("Only the last K steps on the backend [all].", metavar="K")
    ] = None
    max_qpu_seconds: Annotated[
        float | None, Option("Stop, resumable, before spending more.", metavar="S")
    ] = None
    max_wait_seconds: Annotated[
        float | None, Option("Stop, resumable, after waiting so long for a job.", metavar="S")
    ] = None
