"""The rules, one file per family of primitives. Importing this fills the table."""

from . import (
    control as control,
)
from . import (
    elementwise as elementwise,
)
from . import (
    indexing as indexing,
)
from . import (
    loops as loops,
)
from . import (
    moving as moving,
)
from . import (
    products as products,
)
from . import (
    reductions as reductions,
)
