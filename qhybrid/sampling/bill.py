"""What a sampling run costs on a QPU, found by asking for each round without running it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import nn

from qhybrid.models.spec import ModelSpec
from qhybrid.quoting import QuotingBackend
from qhybrid.sampling.plan import SamplingPlan
from qhybrid_circuits.errors import RequestError
from qhybrid_runtime.backends.qpu import Qpu, QpuBackend
from qhybrid_runtime.hardware import billing
from qhybrid_runtime.hardware.billing import Bill, calibrated_once, total
from qhybrid_runtime.hardware.quote import Quote
from qhybrid_runtime.layer import on_backend
from qhybrid_runtime.randomness.cost import LEAST_QUBITS


@dataclass(frozen=True)
class SamplingBill:
    """What drawing all images costs.

    Attributes:
        qpu: The QPU.
        rounds_per_step: Dependent sets of circuits in a denoising step.
        circuits_per_step: Circuits in a denoising step.
        steps: Denoising steps on the QPU.
        images: Images drawn.
        shots: Executions of a circuit with one image's inputs.
        bill: As asked for.
        unpacked: Without images side by side; equal to `bill` where nothing is packed.
        stock: By stock classes: a PUB an output, a job a circuit.
        service_seconds: QPU time that the service itself expects; None where it was not asked, or
            does not tell.
        service_silence: Why it does not, where it was asked.
        by_qpu: The bill of each QPU, where several share the rounds.
    """

    qpu: Qpu
    rounds_per_step: int
    circuits_per_step: int
    steps: int
    images: int
    shots: int
    bill: Bill
    unpacked: Bill
    stock: Bill
    service_seconds: float | None = None
    service_silence: str = ""
    by_qpu: Mapping[str, Bill] = field(default_factory=dict)

    @property
    def rounds(self) -> int:
        """Rounds in all."""
        return self.rounds_per_step * self.steps

    @property
    def allowance(self) -> float:
        """QPU seconds that the bill is compared with: what the plan leaves, or the Open plan's."""
        left = self.qpu.left_seconds
        return billing.OPEN_PLAN_SECONDS if left is None else left

    def share(self, cost: Bill) -> str:
        """The part of the allowance that a bill takes, for people."""
        if not self.qpu.priced:
            return "-"
        allowance = self.allowance
        return f"{cost.qpu_seconds / allowance:.0%}" if allowance > 0 else "none left"


def sampling_bill(
    plan: SamplingPlan,
    spec: ModelSpec,
    model: nn.Module,
    backend: QpuBackend,
    *,
    ask: bool = False,
) -> SamplingBill:
    """Return the bill of a plan, from one denoising step of each batch size that occurs.

    The model must be on the backend, in evaluation mode. Where `ask`, the service is asked too.

    Raises:
        RequestError: The model has no circuit.
    """
    full, rest = divmod(plan.num_images, plan.batch_size)
    batches = {plan.batch_size: full, rest: 1}
    quotes: list[Quote] = []
    rounds, circuits, expected, silence = 0, 0, 0.0, ""
    for size, count in batches.items():
        if not (size and count):
            continue
        recorder = QuotingBackend(backend, ask=ask and not silence)
        with on_backend(model, recorder), torch.no_grad():
            model(torch.zeros(size, *spec.input_shape), torch.zeros(size, dtype=torch.long))
        quotes += recorder.quotes * (count * plan.hardware_steps)
        expected += recorder.expected * (count * plan.hardware_steps)
        silence = silence or recorder.silence
        rounds += len(recorder.quotes) * count
        circuits += recorder.circuits * count
    if not quotes:
        raise RequestError(
            f"the model of '{plan.run.folder}' has no circuit, so that nothing would run on "
            f"'{plan.backend}'; leave --backend out"
        )
    by_qpu = {name: total(q.by_qpu[name] for q in quotes) for name in quotes[0].by_qpu}
    bills = [total(q.bill for q in quotes), total(q.unpacked for q in quotes)]
    if not by_qpu:  # Jobs on several QPUs learn readout errors each.
        bills = [calibrated_once(bill, backend.settings) for bill in bills]
    return SamplingBill(
        qpu=backend.qpu,
        rounds_per_step=rounds,
        circuits_per_step=circuits,
        steps=plan.hardware_steps,
        images=plan.num_images,
        shots=backend.settings.shots,
        bill=bills[0],
        unpacked=bills[1],
        stock=total(quote.stock for quote in quotes),
        service_seconds=expected if ask and not silence else None,
        service_silence=silence,
        by_qpu=by_qpu,
    )


def with_noise(bill: SamplingBill, plan: SamplingPlan) -> SamplingBill:
    """Return a bill with the jobs that measure noise beforehand, where there is one."""
    if not plan.noise_seconds or plan.noise.pool is None:
        return bill
    noise = plan.noise.bill(LEAST_QUBITS)
    bills = (bill.bill, bill.unpacked, bill.stock)
    ours, unpacked, stock = (total([each, noise]) for each in bills)
    return replace(bill, bill=ours, unpacked=unpacked, stock=stock)


Confirm = Callable[[SamplingBill], bool]


def left_to_pay(bill: SamplingBill, spent_seconds: float) -> SamplingBill:
    """Return a bill less what is on record."""
    left = max(0.0, bill.bill.qpu_seconds - spent_seconds)
    return replace(bill, bill=replace(bill.bill, qpu_seconds=left))
