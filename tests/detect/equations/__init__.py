"""The table of equations on which the rules are checked, one file per family.

Importing the families fills the table.
"""

from . import elementwise as elementwise
from . import indexing as indexing
from . import moving as moving
from . import products as products
from . import programs as programs
from . import reductions as reductions
from .frame import EQUATIONS as EQUATIONS
from .frame import Equation as Equation
