from qhybrid_runtime.backends.registry import check_gradient
from qhybrid_runtime.gradients.adjoint import Adjoint
from qhybrid_runtime.gradients.method import GradientMethod
from qhybrid_runtime.gradients.parameter_shift import ParameterShift
from qhybrid_runtime.gradients.spsa import Spsa

_METHODS: dict[str, type[GradientMethod]] = {
    method.name: method for method in (Adjoint, ParameterShift, Spsa)
}


def gradient_method(backend: str, gradient: str | GradientMethod | None = None) -> GradientMethod:
    """Return a gradient method for a backend: by name, as it is, or, for None, the best one.

    Raises:
        UnknownNameError: There is no backend, or no gradient method, of this name.
        RequestError: The backend does not support the method.
    """
    if isinstance(gradient, GradientMethod):
        check_gradient(backend, gradient.name)
        return gradient
    return _METHODS[check_gradient(backend, gradient)]()
