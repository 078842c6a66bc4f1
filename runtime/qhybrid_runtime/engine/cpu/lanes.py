"""Sixteen samples as one value: vector registers for numba kernels.

A compiler that has to prove that arrays do not overlap leaves short loops over samples scalar.
With a vector type there is no loop to vectorize: a load, a product and a store of `LANES` numbers
are one operation each, on every processor that LLVM knows, in single and in double precision.
"""

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, models, overload, register_model

from qhybrid_runtime.engine.cpu.compiler import kernel

#: Samples in a vector: one AVX-512 register of single precision, two AVX2 or four NEON ones.
LANES = 16


class LanesType(types.Type):  # type: ignore[misc]
    """The numba type of `LANES` numbers of one dtype."""

    def __init__(self, element: types.Type) -> None:
        self.element = element
        super().__init__(name=f"lanes({element})")


@register_model(LanesType)
class _LanesModel(models.PrimitiveModel):  # type: ignore[misc]
    def __init__(self, manager: Any, numba_type: LanesType) -> None:
        element = manager.lookup(numba_type.element).get_value_type()
        super().__init__(manager, numba_type, ir.VectorType(element, LANES))


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, start: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    vector = context.get_value_type(LanesType(array_type.dtype))
    return builder.bitcast(builder.gep(data, [start]), vector.as_pointer())


def _loading(distance: int) -> Any:
    """Return an intrinsic that loads a vector, whose index counts `distance` numbers each."""

    @intrinsic  # type: ignore[untyped-decorator]
    def load(typing_context: Any, array: Any, index: Any) -> Any:
        lanes = LanesType(array.dtype)

        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            start = builder.mul(args[1], ir.Constant(args[1].type, distance))
            value = builder.load(_pointer(context, builder, signature.args[0], args[0], start))
            value.align = array.dtype.bitwidth // 8
            return value

        return lanes(array, types.intp), generate

    return load


def _storing(distance: int) -> Any:
    """Return an intrinsic that writes a vector, whose index counts `distance` numbers each."""

    @intrinsic  # type: ignore[untyped-decorator]
    def store(typing_context: Any, array: Any, index: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            start = builder.mul(args[1], ir.Constant(args[1].type, distance))
            pointer = _pointer(context, builder, signature.args[0], args[0], start)
            builder.store(args[2], pointer).align = array.dtype.bitwidth // 8
            return context.get_dummy_value()

        return types.void(array, types.intp, value), generate

    return store


#: The vector of a contiguous 1-D array that has this index: its numbers from index * LANES on.
load, store = _loading(LANES), _storing(LANES)

#: The vector that begins with the number of this index.
load_from, store_from = _loading(1), _storing(1)


def _everywhere(builder: Any, vector: Any, number: Any) -> Any:
    empty = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(empty, number, ir.Constant(ir.IntType(32), 0))
    places = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(first, empty, places)


@intrinsic  # type: ignore[untyped-decorator]
def splat(typing_context: Any, number: Any) -> Any:
    """Return a vector that holds one number in all lanes."""
    lanes = LanesType(number)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _everywhere(builder, context.get_value_type(lanes), args[0])

    return lanes(number), generate


@intrinsic  # type: ignore[untyped-decorator]
def splat_from(typing_context: Any, array: Any, index: Any) -> Any:
    """Return `splat(array[index])` of an index that is not negative, which need not be checked."""
    lanes = LanesType(array.dtype)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, args[0]).data
        number = builder.load(builder.gep(data, [args[1]]))
        return _everywhere(builder, context.get_value_type(lanes), number)

    return lanes(array, types.intp), generate


def _lane_by_lane(instruction: str) -> Any:
    @intrinsic  # type: ignore[untyped-decorator]
    def combine(typing_context: Any, left: Any, right: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            # "contract" lets a product and a sum become one fused instruction.
            return getattr(builder, instruction)(*args, flags=("nsz", "contract"))

        return left(left, right), generate

    return combine


def _overload(symbol: Callable[[Any, Any], Any], combine: Any) -> None:
    # numba compares this signature with the lambda's, annotations included.
    def choose(left, right):  # type: ignore[no-untyped-def]
        if isinstance(left, LanesType) and left == right:
            return lambda left, right: combine(left, right)
        return None

    overload(symbol)(choose)


_overload(operator.add, _lane_by_lane("fadd"))
_overload(operator.iadd, _lane_by_lane("fadd"))
_overload(operator.sub, _lane_by_lane("fsub"))
_overload(operator.mul, _lane_by_lane("fmul"))
_overload(operator.truediv, _lane_by_lane("fdiv"))


def _larger(builder: Any, left: Any, right: Any) -> Any:
    return builder.select(builder.fcmp_ordered(">", left, right), left, right)


@intrinsic  # type: ignore[untyped-decorator]
def maximum(typing_context: Any, left: Any, right: Any) -> Any:
    """Return the larger number of each lane."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _larger(builder, *args)

    return left(left, right), generate


@intrinsic  # type: ignore[untyped-decorator]
def sqrt(typing_context: Any, vector: Any) -> Any:
    """Return the square root of each lane."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind, name = args[0].type, f"llvm.sqrt.v{LANES}f{vector.element.bitwidth}"
        function = builder.module.declare_intrinsic(name, fnty=ir.FunctionType(kind, [kind]))
        return builder.call(function, args)

    return vector(vector), generate


def _across(combine: Callable[[Any, Any, Any], Any]) -> Any:
    """Return an intrinsic that combines the numbers of all lanes, halves with halves."""

    @intrinsic  # type: ignore[untyped-decorator]
    def reduce(typing_context: Any, vector: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            (value,), width = args, LANES
            while width > 1:
                width //= 2
                half = ir.VectorType(ir.IntType(32), width)
                low, high = range(width), range(width, 2 * width)
                left = builder.shuffle_vector(value, value, ir.Constant(half, list(low)))
                right = builder.shuffle_vector(value, value, ir.Constant(half, list(high)))
                value = combine(builder, left, right)
            return builder.extract_element(value, ir.Constant(ir.IntType(32), 0))

        return vector.element(vector), generate

    return reduce


#: The sum of a vector's numbers, and the largest of them.
total = _across(lambda builder, left, right: builder.fadd(left, right))
largest = _across(_larger)


@intrinsic  # type: ignore[untyped-decorator]
def exp(typing_context: Any, exponents: Any) -> Any:
    """Return e to the power of each lane in single precision, to 2 units in the last place.

    2^n e^r with n = round(x / ln 2), and e^r by its Taylor series to r^7, whose remainder is
    5e-9 where |r| <= ln(2) / 2. Exponents below -87 are taken for -87; at most 87 are allowed.
    """
    if exponents.element is not types.float32:
        return None

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        vector = context.get_value_type(exponents)
        whole = ir.VectorType(ir.IntType(32), LANES)

        def number(value: float) -> Any:
            return ir.Constant(vector, [np.float32(value).item()] * LANES)

        def plus(factor: Any, other: Any, term: Any) -> Any:
            product = builder.fmul(factor, other, flags=("contract",))
            return builder.fadd(product, term, flags=("contract",))

        (x,) = args
        # What is not a number stays so.
        x = builder.select(builder.fcmp_ordered("<", x, number(-87.0)), number(-87.0), x)
        # At 1.5 * 2^23 a unit in the last place is 1, so that the addition rounds.
        shift = number(1.5 * 2**23)
        shifted = plus(x, number(1 / math.log(2)), shift)
        power = builder.sub(builder.bitcast(shifted, whole), builder.bitcast(shift, whole))
        power = builder.shl(power, ir.Constant(whole, [23] * LANES))
        n = builder.fsub(shifted, shift)
        # ln 2 in two parts, of which the first has so few digits that n times it is exact.
        rest = plus(n, number(-0.693359375), x)
        rest = plus(n, number(0.693359375 - math.log(2)), rest)
        series = number(1 / math.factorial(7))
        for order in range(6, -1, -1):
            series = plus(series, rest, number(1 / math.factorial(order)))
        return builder.bitcast(builder.add(builder.bitcast(series, whole), power), vector)

    return exponents(exponents), generate


@kernel
def load_complex(vectors, at):  # type: ignore[no-untyped-def]
    """Return vectors `at` and `at` + 1, a real and an imaginary part."""
    return load(vectors, at), load(vectors, at + 1)


@kernel
def store_complex(vectors, at, real, imag):  # type: ignore[no-untyped-def]
    """Write a real and an imaginary part to vectors `at` and `at` + 1."""
    store(vectors, at, real)
    store(vectors, at + 1, imag)


@kernel
def add_to(vectors, at, real, imag):  # type: ignore[no-untyped-def]
    """Add a real and an imaginary part to vectors `at` and `at` + 1."""
    store(vectors, at, load(vectors, at) + real)
    store(vectors, at + 1, load(vectors, at + 1) + imag)


@kernel
def copy(source, count, target):  # type: ignore[no-untyped-def]
    """Copy the first `count` vectors; a slice takes seconds to compile, to say what is wrong."""
    for index in range(count):
        store(target, index, load(source, index))
