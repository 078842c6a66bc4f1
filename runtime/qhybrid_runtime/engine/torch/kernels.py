# mypy: disable-error-code="untyped-decorator"
"""Triton kernels that hold a sample's state in registers while all gates of a circuit act on it.

A program of the grid has one sample of one weight set, so a batch and its circuits are one launch.
Amplitudes are numbered as ever: qubit q is bit q. A gate is a 2x2 matrix on one target where the
controls hold a value; an amplitude meets its partner, of which the target's bit differs, by
`tl.gather`. The loop over gates is not unrolled: a kernel is compiled once for each number of
qubits and dtype, whatever the circuit.

Complex tensors come as real ones whose last axis is real and imaginary part. TRITON_INTERPRET=1,
set before this module is imported, runs the same code on the CPU.
"""

import triton
import triton.language as tl

#: Columns of the table of gates: the target's bit, the controls' bits and their value, the row of
#: the matrix, and whether its gradient is wanted.
COLUMNS = tl.constexpr(5)

#: Real numbers of a matrix: both parts of each entry, row by row.
NUMBERS = tl.constexpr(8)

#: Numbers that a kernel is not to be compiled for anew.
SIZES = ["num_gates", "samples", "num_shared", "num_own", "first_own"]


@triton.jit
def _times(
    ar: tl.tensor,
    ai: tl.tensor,
    br: tl.tensor,
    bi: tl.tensor,
    xr: tl.tensor,
    xi: tl.tensor,
    yr: tl.tensor,
    yi: tl.tensor,
) -> tl.tuple:
    """Return a x + b y for complex numbers."""
    return ar * xr - ai * xi + br * yr - bi * yi, ar * xi + ai * xr + br * yi + bi * yr


@triton.jit
def _gate(gates: tl.tensor, gate: tl.tensor, index: tl.tensor) -> tl.tuple:
    """Return a gate's target, whether each amplitude has its bit, and where the gate acts."""
    target = tl.load(gates + gate * COLUMNS)
    controls = tl.load(gates + gate * COLUMNS + 1)
    on = tl.load(gates + gate * COLUMNS + 2)
    return target, (index & target) != 0, (index & controls) == on


@triton.jit
def _entries(matrix: tl.tensor, bit: tl.tensor) -> tl.tuple:
    """Return the entries of a matrix's row `bit`: by the amplitude itself and by its partner."""
    own_r = tl.where(bit, tl.load(matrix + 6), tl.load(matrix))
    own_i = tl.where(bit, tl.load(matrix + 7), tl.load(matrix + 1))
    other_r = tl.where(bit, tl.load(matrix + 4), tl.load(matrix + 2))
    other_i = tl.where(bit, tl.load(matrix + 5), tl.load(matrix + 3))
    return own_r, own_i, other_r, other_i


@triton.jit
def _row(
    row: tl.tensor,
    sample: tl.tensor,
    group: tl.tensor,
    num_shared: tl.tensor,
    num_own: tl.tensor,
    first_own: tl.tensor,
) -> tl.tensor:
    """Return the number of a matrix: all groups' shared ones come first, then all samples' own."""
    shared = group * num_shared + row
    own = first_own + sample * num_own + row - num_shared
    return tl.where(row < num_shared, shared, own)


@triton.jit(do_not_specialize=SIZES)
def evolve(
    start: tl.tensor,
    final: tl.tensor,
    gates: tl.tensor,
    matrices: tl.tensor,
    num_gates: tl.tensor,
    samples: tl.tensor,
    num_shared: tl.tensor,
    num_own: tl.tensor,
    first_own: tl.tensor,
    AMPLITUDES: tl.constexpr,
) -> None:
    """Write the states (G * B, 2**n, 2) after all gates.

    Args:
        start: The states before, in the same shape.
        final: What is written.
        gates: The table of gates, int32 (num_gates, COLUMNS).
        matrices: Shared ones (G, num_shared, NUMBERS), then samples' own (G * B, num_own, NUMBERS).
        num_gates: The gates' number.
        samples: Samples B of a group.
        num_shared: Matrices that all samples of a group share; the rows of others come after them.
        num_own: Matrices of each sample's own.
        first_own: Number of the first of these, G * num_shared.
        AMPLITUDES: 2**n.
    """
    sample = tl.program_id(0).to(tl.int64)
    group, index = sample // samples, tl.arange(0, AMPLITUDES)
    place = (sample * AMPLITUDES + index) * 2
    real, imaginary = tl.load(start + place), tl.load(start + place + 1)
    for gate in range(num_gates):
        target, bit, active = _gate(gates, gate, index)
        row = tl.load(gates + gate * COLUMNS + 3)
        number = _row(row, sample, group, num_shared, num_own, first_own)
        own_r, own_i, other_r, other_i = _entries(matrices + number * NUMBERS, bit)
        partner_r = tl.gather(real, index ^ target, 0)
        partner_i = tl.gather(imaginary, index ^ target, 0)
        new_r, new_i = _times(own_r, own_i, other_r, other_i, real, imaginary, partner_r, partner_i)
        real, imaginary = tl.where(active, new_r, real), tl.where(active, new_i, imaginary)
    tl.store(final + place, real)
    tl.store(final + place + 1, imaginary)


@triton.jit
def _add_overlap(
    found: tl.tensor, chosen: tl.tensor, cr: tl.tensor, ci: tl.tensor, sr: tl.tensor, si: tl.tensor
) -> None:
    """Write the sum of c conj(s) over the chosen amplitudes."""
    tl.store(found, tl.sum(tl.where(chosen, cr * sr + ci * si, 0.0), 0))
    tl.store(found + 1, tl.sum(tl.where(chosen, ci * sr - cr * si, 0.0), 0))


@triton.jit(do_not_specialize=SIZES)
def unevolve(
    final: tl.tensor,
    costate: tl.tensor,
    gates: tl.tensor,
    matrices: tl.tensor,
    gradients: tl.tensor,
    num_gates: tl.tensor,
    samples: tl.tensor,
    num_shared: tl.tensor,
    num_own: tl.tensor,
    first_own: tl.tensor,
    AMPLITUDES: tl.constexpr,
) -> None:
    """Undo all gates on states and co-states, and write each matrix's gradient.

    The arguments are those of `evolve`, and besides:

    Args:
        final: The states after all gates, (G * B, 2**n, 2).
        costate: The co-states after them; those before them are written in their place.
        gradients: Of each sample by each of its matrices, zero at first,
            (G * B, num_shared + num_own, NUMBERS). A matrix that takes |before> to |after> has
            the gradient |co-state after><before|.
    """
    sample = tl.program_id(0).to(tl.int64)
    group, index = sample // samples, tl.arange(0, AMPLITUDES)
    place = (sample * AMPLITUDES + index) * 2
    real, imaginary = tl.load(final + place), tl.load(final + place + 1)
    co_r, co_i = tl.load(costate + place), tl.load(costate + place + 1)
    for undone in range(num_gates):
        gate = num_gates - 1 - undone
        target, bit, active = _gate(gates, gate, index)
        row = tl.load(gates + gate * COLUMNS + 3)
        number = _row(row, sample, group, num_shared, num_own, first_own)
        matrix = matrices + number * NUMBERS
        # The inverse's row is the matrix's column, conjugated; so is that of the partner.
        own_r, own_i, _, _ = _entries(matrix, bit)
        theirs_r, theirs_i, other_r, other_i = _entries(matrix, bit == 0)
        _, _, back_r, back_i = _entries(matrix, bit)
        partner_r = tl.gather(real, index ^ target, 0)
        partner_i = tl.gather(imaginary, index ^ target, 0)
        before_r, before_i = _times(
            own_r, -own_i, other_r, -other_i, real, imaginary, partner_r, partner_i
        )
        if tl.load(gates + gate * COLUMNS + 4) != 0:
            paired_r, paired_i = _times(
                theirs_r, -theirs_i, back_r, -back_i, partner_r, partner_i, real, imaginary
            )
            found = gradients + (sample * (num_shared + num_own) + row) * NUMBERS
            zero, one = active & (bit == 0), active & bit
            _add_overlap(found, zero, co_r, co_i, before_r, before_i)
            _add_overlap(found + 2, zero, co_r, co_i, paired_r, paired_i)
            _add_overlap(found + 4, one, co_r, co_i, paired_r, paired_i)
            _add_overlap(found + 6, one, co_r, co_i, before_r, before_i)
        co_partner_r = tl.gather(co_r, index ^ target, 0)
        co_partner_i = tl.gather(co_i, index ^ target, 0)
        new_r, new_i = _times(
            own_r, -own_i, other_r, -other_i, co_r, co_i, co_partner_r, co_partner_i
        )
        real, imaginary = tl.where(active, before_r, real), tl.where(active, before_i, imaginary)
        co_r, co_i = tl.where(active, new_r, co_r), tl.where(active, new_i, co_i)
    tl.store(costate + place, co_r)
    tl.store(costate + place + 1, co_i)
