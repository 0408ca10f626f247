from collections.abc import Callable
from typing import Any

import numpy as np

class OptimizeResult:
    x: np.ndarray
    success: bool
    status: int

class Bounds:
    lb: np.ndarray
    ub: np.ndarray
    def __init__(self, lb: Any = ..., ub: Any = ...) -> None: ...

class NonlinearConstraint:
    fun: Callable[..., Any]
    jac: Callable[..., Any]
    hess: Callable[..., Any]
    def __init__(
        self,
        fun: Callable[..., Any],
        lb: Any,
        ub: Any,
        jac: Callable[..., Any] = ...,
        hess: Callable[..., Any] = ...,
    ) -> None: ...

def minimize(fun: Callable[..., Any], x0: Any, **options: Any) -> OptimizeResult: ...
