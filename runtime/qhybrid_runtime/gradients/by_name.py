from qhybrid_runtime.backends.backend import Backend
from qhybrid_runtime.backends.registry import check_backend_name, supported_gradient
from qhybrid_runtime.gradients.adjoint import Adjoint
from qhybrid_runtime.gradients.method import GradientMethod
from qhybrid_runtime.gradients.parameter_shift import ParameterShift
from qhybrid_runtime.gradients.spsa import Spsa

_METHODS: dict[str, type[GradientMethod]] = {
    method.name: method for method in (Adjoint, ParameterShift, Spsa)
}


def gradient_method(
    backend: Backend | str, gradient: str | GradientMethod | None = None
) -> GradientMethod:
    """Return a gradient method for a backend: by name, as it is, or, for None, the best one.

    Raises:
        UnknownNameError: There is no backend, or no gradient method, of this name.
        RequestError: The backend does not support the method.
    """
    if isinstance(backend, str):
        offered, called = check_backend_name(backend).gradients, backend
    else:
        offered, called = backend.gradients, backend.name
    if isinstance(gradient, GradientMethod):
        supported_gradient(called, offered, gradient.name)
        return gradient
    return _METHODS[supported_gradient(called, offered, gradient)]()
