"""Detection: from a function to the pattern of its Jacobian.

`detect` traces the tangent program, `interpret` follows `dependence` through it by the
rules in `table`, one file per family in `rules`. `known` works out indices, masks and
constants where a rule asks for them; `trail` tells afterwards what made a pattern dense,
and `suspect` where one has lost an entry.
"""

from . import rules as rules
from .dependence import DEFAULT_MAX_NNZ as DEFAULT_MAX_NNZ
from .dependence import Dependence as Dependence
from .detect import Detection as Detection
from .detect import detect as detect
from .source import source_line as source_line
from .suspect import suspicion as suspicion
from .table import Step as Step
from .table import Trail as Trail
from .table import has_rule as has_rule
from .table import register_rule as register_rule
from .trail import chain as chain
from .trail import density_gain as density_gain
