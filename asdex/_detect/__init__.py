"""Detection: from a function to the pattern of its Jacobian.

`detect` traces the tangent program, `interpret` follows `dependence` through it by the
rules in `table`, one file per family in `rules`. `known` works out indices, masks and
constants where a rule asks for them.
"""

from . import rules as rules
from .detect import Detection as Detection
from .detect import detect as detect
