"""Detection: from a function to the pattern of its Jacobian.

`detect` traces the tangent program, `interpret` follows `dependence` through it by the
rules in the `registry`, one file per family in `rules`. `known` finds what is known of
indices, masks and constants where a rule asks for it, by constant folding (`folding`), and
`vanishing` what is zero unless it is NaN; `trail` is the provenance of entries,
and `suspect` finds where a pattern has lost one. `parts` follows real and imaginary parts,
`selection` what is read at unknown indices, and `repeats` keeps programs from being
interpreted twice for equal operands. `supports` follows zeros through programs that are
linear as a whole only. `loops` holds what rules of loops have in common. `accumulate`
follows coefficients by the same rules.
"""

from . import rules as rules
from .accumulate import accumulate as accumulate
from .coefficients import Coefficients as Coefficients
from .coefficients import NoCoefficients as NoCoefficients
from .coefficients import add_at as add_at
from .coefficients import as_jax as as_jax
from .coefficients import is_constant as is_constant
from .costs import Costs as Costs
from .costs import fewest_passes as fewest_passes
from .dependence import Dependence as Dependence
from .detect import Detection as Detection
from .detect import detect as detect
from .linear import check_linear as check_linear
from .matrices import DEFAULT_MAX_NNZ as DEFAULT_MAX_NNZ
from .registry import register_rule as register_rule
from .source import describe as describe
from .source import origin as origin
from .suspect import suspicion as suspicion
from .trail import chain as chain
from .trail import densest as densest
from .trail import density_gain as density_gain
from .value import Step as Step
from .value import Trail as Trail
