"""What the tests share: the table of functions and the dense reference.

Importing the families fills the table.
"""

from . import applications as applications
from . import calls as calls
from . import control as control
from . import elementwise as elementwise
from . import gathering as gathering
from . import linalg as linalg
from . import operations as operations
from . import pytrees as pytrees
from . import reductions as reductions
from . import scalars as scalars
from . import scattering as scattering
from .checks import check_formats as check_formats
from .checks import check_pattern_and_values as check_pattern_and_values
from .reference import allclose as allclose
from .reference import blocks as blocks
from .reference import check_contains as check_contains
from .reference import check_equal as check_equal
from .reference import densify as densify
from .reference import is_sparse as is_sparse
from .reference import points as points
from .reference import todense as todense
from .sparse import coloring as coloring
from .sparse import derivative as derivative
from .table import HESSIAN_MODES as HESSIAN_MODES
from .table import JACOBIAN_MODES as JACOBIAN_MODES
from .table import TABLE as TABLE
from .table import Case as Case
from .table import cases as cases
from .table import is_inexact as is_inexact
