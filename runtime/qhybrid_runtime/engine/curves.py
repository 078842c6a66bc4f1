import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import sympy
import torch
from qiskit.circuit import Parameter, ParameterExpression
from torch import Tensor

from qhybrid_circuits import CircuitError

#: What sympy's printer calls a function -> the torch function that is differentiated through.
_TORCH_FUNCTIONS = {
    "Abs": torch.abs,
    "acos": torch.acos,
    "asin": torch.asin,
    "atan": torch.atan,
    "conjugate": torch.conj,
    "cos": torch.cos,
    "exp": torch.exp,
    "log": torch.log,
    "pi": math.pi,
    "sin": torch.sin,
    "sqrt": torch.sqrt,
    "tan": torch.tan,
}


@dataclass(frozen=True)
class Curve:
    """One angle that is not affine in the parameters."""

    column: int  # Of the table of angles.
    formula: sympy.Expr  # A function of the symbols p0, p1, ..., one a parameter.
    arguments: tuple[int, ...]  # The parameters that it takes, ascending.

    @cached_property
    def function(self) -> Callable[..., Tensor]:
        """Return the formula as a torch function."""
        symbols = [_symbol(position) for position in self.arguments]
        made: Callable[..., Tensor] = sympy.lambdify(symbols, self.formula, [_TORCH_FUNCTIONS])
        return made

    @property
    def key(self) -> tuple[int, str, tuple[int, ...]]:
        """Return what tells it from others."""
        return self.column, sympy.srepr(self.formula), self.arguments

    def __getstate__(self) -> dict[str, object]:
        # What sympy compiles cannot be pickled; it is compiled again.
        return {name: value for name, value in self.__dict__.items() if name != "function"}


def _symbol(position: int) -> sympy.Symbol:
    # Parameter names may be anything ("θ[0]", "lambda"); positions are valid symbols and unique.
    return sympy.Symbol(f"p{position}")


def curve_of(column: int, expression: ParameterExpression, position: dict[Parameter, int]) -> Curve:
    """Translate an expression that is not affine, whose parameters have these positions.

    Raises:
        CircuitError: It has a function that has no derivative in torch.
    """
    ordered = sorted(expression.parameters, key=position.__getitem__)
    by_name = {sympy.Symbol(p.name): _symbol(position[p]) for p in ordered}
    formula = expression.sympify().subs(by_name, simultaneous=True)
    known = {*_TORCH_FUNCTIONS, "Pow"}
    strange = sorted({f.func.__name__ for f in formula.atoms(sympy.Function)} - known)
    if strange:
        raise CircuitError(
            f"Gate angle {formula} uses {', '.join(strange)}, which the engine cannot "
            f"differentiate; use {', '.join(sorted(_TORCH_FUNCTIONS))} or powers"
        )
    return Curve(column, formula, tuple(position[p] for p in ordered))
