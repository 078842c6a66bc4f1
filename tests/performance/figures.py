"""The figures that are promised, each as a row with its bar."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch

from qhybrid_circuits.ansatz import hqconv
from tests.performance import stock
from tests.performance.agreement import agreement
from tests.performance.cases import Case, case, circuits, random_circuit
from tests.performance.contenders import (
    BACKPROP,
    ENGINE,
    JAX,
    LIGHTNING,
    PEERS,
    Contender,
    disagreement,
)
from tests.performance.processes import ask
from tests.performance.timing import duration, interleaved
from tests.performance.training import take_turns

#: How far a peer's values and derivatives may be from ours before its time means nothing.
SAME = 1e-4

#: Names the fastest of the peers that are there.
BEST = "the best peer"


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        small: Whether circuits are the small ones.
        batch: Samples of a call.
        peer_batches: Samples of a call of the peers for which a full batch takes too long.
        stock_batch: Samples of a call of the stock classes.
        rounds: Measurements that a median is of.
        image: Side of the images, and a training step's number of them.
        many: Samples of the call whose memory is measured.
        channels: HQConv's channels, 4 qubits each, over which time per amplitude is compared.
    """

    small: bool
    batch: int
    peer_batches: Mapping[str, int]
    stock_batch: int
    rounds: int
    image: tuple[int, int]
    many: int
    channels: tuple[int, ...]


PAPER = Sizes(
    small=False,
    batch=128,
    peer_batches={LIGHTNING.name: 8, BACKPROP.name: 64},
    stock_batch=64,
    rounds=7,
    image=(28, 128),
    many=6272,
    channels=(2, 3, 4, 5),
)
SMALL = Sizes(
    small=True,
    batch=4,
    peer_batches={LIGHTNING.name: 2},
    stock_batch=2,
    rounds=2,
    image=(8, 2),
    many=64,
    channels=(1, 2),
)


@dataclass(frozen=True)
class Row:
    """A line of the table; `met` is None where there is no bar, or no measurement."""

    figure: str
    measured: str
    ratio: str = ""
    bar: str = ""
    met: bool | None = None


def circuit_rows(sizes: Sizes) -> list[Row]:
    """Value and vector-Jacobian product against peers, circuit by circuit."""
    bars = {
        "HQConv": {JAX.name: 25.0, BEST: 60.0},
        "FQConv": {JAX.name: 15.0},
        "random circuit": {JAX.name: 15.0},
    }
    rows = []
    for name, variational in circuits(sizes.small).items():
        # The slower peers are there for orientation; one circuit is enough of them.
        peers = PEERS if name == "HQConv" else (JAX,)
        rows += _against_peers(name, case(variational, sizes.batch), peers, sizes, bars[name])
    return rows


def _against_peers(
    name: str, full: Case, peers: tuple[Contender, ...], sizes: Sizes, bars: Mapping[str, float]
) -> list[Row]:
    present = [peer for peer in peers if not peer.missing]
    batch = len(full.inputs)
    runs = {ENGINE.name: ENGINE.prepare(full)}
    for peer in present:
        part = full.head(sizes.peer_batches.get(peer.name, batch))
        runs[peer.name] = peer.prepare(part)
        difference = disagreement(runs[peer.name], ENGINE.prepare(part))
        if difference > SAME:
            raise RuntimeError(f"{peer.name} differs from the engine by {difference} on {name}")
    times = interleaved(runs, sizes.rounds)
    ours = times[ENGINE.name] / batch
    best: dict[float, tuple[str, Row]] = {}
    rows = []
    for peer in peers:
        figure = f"{name}, value + VJP, against {peer.name}"
        bar = bars.get(peer.name)
        bar_text = "" if bar is None else f"{bar:g}x faster"
        if peer.missing:
            rows.append(Row(figure, f"skipped: {', '.join(peer.missing)} absent", bar=bar_text))
            continue
        samples = sizes.peer_batches.get(peer.name, batch)
        ratio = times[peer.name] / samples / ours
        measured = (
            f"{duration(times[ENGINE.name])} a batch of {batch}; "
            f"{duration(times[peer.name])} a batch of {samples}"
        )
        met = None if bar is None else ratio >= bar
        rows.append(Row(figure, measured, f"{ratio:.1f}x", bar_text, met))
        best[ratio] = peer.name, rows[-1]
    if BEST not in bars or not best:
        return rows
    ratio = min(best)
    fastest, row = best[ratio]
    figure = f"{name}, value + VJP, against {BEST} ({fastest})"
    bar_text, met = f"{bars[BEST]:g}x faster", ratio >= bars[BEST]
    return [replace(row, figure=figure, bar=bar_text, met=met), *rows]


def stock_rows(sizes: Sizes, full: bool = False) -> list[Row]:
    """Against EstimatorQNN as it comes, and what it becomes with our estimator and gradient.

    Args:
        sizes: How much is measured.
        full: Whether one whole sample of all-stock classes is measured, too.
    """
    variational = circuits(sizes.small)["HQConv"]
    engine = ENGINE.prepare(case(variational, sizes.batch))
    ours = interleaved({ENGINE.name: engine}, sizes.rounds)[ENGINE.name] / sizes.batch
    rows_case = case(variational, sizes.stock_batch)
    plain = stock.extrapolate(rows_case)
    sample = plain.forward_s + plain.backward_s
    note = f"extrapolated from {plain.measured} of {plain.circuits:,} shifted circuits"
    rows = [
        _faster(
            "HQConv, value + gradient of one sample, against stock EstimatorQNN + ParamShift",
            ours,
            sample,
            1e6,
            note,
        )
    ]
    if full:
        taken, count = stock.whole_sample(rows_case)
        whole = f"one whole sample, {count:,} shifted circuits"
        rows.append(_faster("the same, all-stock measured", ours, taken, 1e6, whole))
    mixed = stock.connected(rows_case, sizes.rounds)
    batch = sizes.stock_batch
    both = mixed.forward_s + mixed.backward_s
    what = f"stock EstimatorQNN + TorchConnector with our estimator and gradient, batch {batch}"
    against = "all-stock extrapolated by circuits and samples"
    return [
        *rows,
        _faster(f"{what}, forward + backward", both, batch * sample, 1e4, against),
        _faster(
            "the same, backward alone", mixed.backward_s, batch * plain.backward_s, 2e4, against
        ),
    ]


def step_rows(sizes: Sizes) -> list[Row]:
    """Training steps: what circuits add to the U-Net's, and the U-Net's own."""
    size, batch = sizes.image
    shape = (str(batch), str(size), "keep-memory")
    models = {
        "unet": "unet",
        "statevector": "1hqconv-qvunet@statevector",
        "aer": "1hqconv-qvunet@aer",
        "full": "fullhqconv-qvunet@statevector",
    }
    variants = {name: (model, *shape) for name, model in models.items()}
    times = take_turns({**variants, "operations": ("unet", *shape, "operations")}, sizes.rounds)
    pair = take_turns(
        {"ours": ("unet", *shape), "plain": ("unet", str(batch), str(size), "textbook")},
        sizes.rounds,
    )
    step = f"training step, batch {batch}, {size}x{size}"
    return [
        _slower(f"{step}, 1hqconv-qvunet `statevector`", times, "statevector", 1.03),
        _slower(f"{step}, 1hqconv-qvunet `aer`", times, "aer", 1.25),
        _slower(f"{step}, fullhqconv-qvunet `statevector`", times, "full", 1.2),
        _faster(
            f"{step}, unet against plain PyTorch", pair["ours"], pair["plain"], 4, "textbook form"
        ),
    ]


def model_rows(sizes: Sizes) -> list[Row]:
    """Training steps of the models whose circuits stand elsewhere than in the vertex."""
    size, batch = sizes.image
    side, few = (8, 2) if sizes.small else (16, 32)
    half = batch // 2
    shape = (str(batch), str(size), "keep-memory")
    variants = {name: (name, *shape) for name in ("unet", "quanvunet")}
    times = {
        **take_turns({**variants, "operations": ("unet", *shape, "operations")}, sizes.rounds),
        **_alone("qattention-unet", half, size, sizes),
        **_alone("qbottleneck-unet", few, side, sizes),
    }
    attention, bottleneck = times["qattention-unet"], times["qbottleneck-unet"]
    step = f"training step, batch {batch}, {size}x{size}"
    return [
        _slower(f"{step}, quanvunet", times, "quanvunet", 1.6),
        Row(
            f"training step, batch {half}, {size}x{size}, qattention-unet",
            duration(attention),
            bar="< 1 s",
            met=attention < 1,
        ),
        Row(
            f"steps a minute, batch {few} of 10 time steps each, {side}x{side}, qbottleneck-unet",
            f"{60 / bottleneck:,.0f}",
            bar="50",
            met=60 / bottleneck >= 50,
        ),
    ]


def _alone(model: str, batch: int, size: int, sizes: Sizes) -> dict[str, float]:
    return take_turns({model: (model, str(batch), str(size), "keep-memory")}, sizes.rounds)


def limit_rows(sizes: Sizes) -> list[Row]:
    """Memory of a very large batch, growth with qubits, and the first call of a process."""
    channels, layers = ("1", "1") if sizes.small else ("3", "3")
    extra = ask("memory", channels, layers, str(sizes.many))["bytes"]
    ask("first-call", channels, layers, str(sizes.batch))
    firsts = [
        ask("first-call", channels, layers, str(sizes.batch)) for _ in range(min(5, sizes.rounds))
    ]
    overhead = sorted(t["first_s"] - t["later_s"] for t in firsts)[len(firsts) // 2]
    return [
        Row(
            f"{sizes.many:,} samples of HQConv, value + gradient: extra memory",
            f"{extra / 2**20:.0f} MiB",
            bar="< 1 GiB",
            met=extra < 2**30,
        ),
        *amplitude_rows(sizes),
        Row(
            "first call of a fresh process, compilation cache warm: overhead",
            f"{overhead:.2f} s",
            bar="< 1 s",
            met=overhead < 1,
        ),
    ]


def amplitude_rows(sizes: Sizes) -> list[Row]:
    """Time per amplitude of circuits of one family, from few to many qubits.

    Once with equal batches, where a call's fixed costs weigh on few qubits, and once with equally
    many amplitudes.
    """
    layers = 1 if sizes.small else 3
    families = {4 * n: hqconv(channels=n, layers=layers) for n in sizes.channels}
    most = max(families)
    rows = []
    for what, batches in (
        ("batch 16", dict.fromkeys(families, 16)),
        (f"2^{most + 4} amplitudes", {qubits: 16 << (most - qubits) for qubits in families}),
    ):
        runs = {str(q): ENGINE.prepare(case(v, batches[q])) for q, v in families.items()}
        times = interleaved(runs, min(5, sizes.rounds))
        each = {q: times[str(q)] / (batches[q] << q) for q in families}
        spread = max(each.values()) / min(each.values())
        rows.append(
            Row(
                f"HQConv from {min(each)} to {most} qubits, {what}: time per amplitude",
                ", ".join(f"{qubits}: {duration(time)}" for qubits, time in each.items()),
                f"{spread:.1f}x apart",
                # With few samples the fixed cost of a call is compared, not amplitudes.
                "within 4x" if batches[most] < batches[min(each)] else "",
                spread <= 4 if batches[most] < batches[min(each)] else None,
            )
        )
    return rows


def agreement_rows(sizes: Sizes) -> list[Row]:
    """Largest differences from qiskit.quantum_info over all circuits."""
    all_circuits = [*circuits(sizes.small).values(), random_circuit(4, 60, seed=1)]
    rows = []
    bars = ((torch.float32, 1e-5, 1e-4), (torch.float64, 1e-12, 1e-10))
    for dtype, value_bar, gradient_bar in bars:
        found = [agreement(case(variational, 1), dtype) for variational in all_circuits]
        for what, worst, bar in (
            ("values", max(a.values for a in found), value_bar),
            ("gradients", max(a.gradients for a in found), gradient_bar),
        ):
            precision = str(dtype).removeprefix("torch.")
            figure = f"agreement with qiskit.quantum_info, {what}, {precision}"
            rows.append(Row(figure, f"{worst:.1e}", bar=f"{bar:.0e}", met=worst <= bar))
    return rows


def _faster(figure: str, ours: float, theirs: float, bar: float, note: str) -> Row:
    ratio = theirs / ours
    digits = f"{ratio:,.0f}x" if ratio >= 100 else f"{ratio:.2f}x"
    measured = f"{duration(ours)}; {duration(theirs)} ({note})"
    return Row(figure, measured, digits, f"{bar:,.0f}x faster", ratio >= bar)


def _slower(figure: str, times: Mapping[str, float], name: str, bar: float) -> Row:
    """Compare with the U-Net whose attention has no kernels: a quick U-Net slows no circuits."""
    ratio = times[name] / times["operations"]
    unet = f"unet {duration(times['unet'])}, by torch operations {duration(times['operations'])}"
    return Row(
        figure, f"{duration(times[name])}; {unet}", f"{ratio:.2f}", f"{bar:.2f}", ratio <= bar
    )


SECTIONS: Mapping[str, Callable[[Sizes], list[Row]]] = {
    "circuits": circuit_rows,
    "stock": stock_rows,
    "steps": step_rows,
    "models": model_rows,
    "limits": limit_rows,
    "agreement": agreement_rows,
}
