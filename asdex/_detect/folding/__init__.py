"""Constant folding with error bounds: what is known of values without running them.

`bounds` is the type, `rounding` the arithmetic of floating-point numbers; `arithmetic`,
`logic`, `functions`, `indexing` and `reductions` fill the `table` of primitives, one entry
for each that NumPy folds; and `fold` evaluates equations.
"""

from . import arithmetic as arithmetic
from . import functions as functions
from . import indexing as indexing
from . import logic as logic
from . import reductions as reductions
from .bounds import Bounds as Bounds
from .bounds import exact as exact
from .fold import evaluate_equation as evaluate_equation
from .fold import fold_equation as fold_equation
from .fold import is_opaque as is_opaque
from .fold import needs_compilation as needs_compilation
from .indexing import MAX_ALTERNATIVES as MAX_ALTERNATIVES
from .indexing import alternatives as alternatives
