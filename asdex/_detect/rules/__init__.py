"""The rules, one file per family of primitives. Importing this registers them."""

from . import control as control
from . import elementwise as elementwise
from . import equinox as equinox
from . import indexing as indexing
from . import lineax as lineax
from . import moving as moving
from . import parallel as parallel
from . import products as products
from . import reductions as reductions
from . import scan as scan
from . import solves as solves
from . import sparse as sparse
from . import while_loop as while_loop
from . import windows as windows
