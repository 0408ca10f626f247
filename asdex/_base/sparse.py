"""The matrix types of `jax.experimental.sparse`, imported when the first one is made.

With the parts of SciPy that it imports, that takes a third of the time of importing asdex.
A caller that passes such a matrix has imported it already.
"""

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jax.experimental.sparse import BCOO as BCOO
    from jax.experimental.sparse import BCSR as BCSR
else:

    class _Lazy(type):
        """The type of a class that is a proxy of the one with its name in that module."""

        def __instancecheck__(cls, instance: Any) -> bool:
            module = sys.modules.get("jax.experimental.sparse")
            return module is not None and isinstance(
                instance, getattr(module, cls.__name__)
            )

        def __call__(cls, *args: Any, **kwargs: Any) -> Any:
            from jax.experimental import sparse

            return getattr(sparse, cls.__name__)(*args, **kwargs)

    class BCOO(metaclass=_Lazy):
        pass

    class BCSR(metaclass=_Lazy):
        pass
