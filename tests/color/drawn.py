"""Small matrices that hypothesis draws."""

import hypothesis.extra.numpy as hnp
from hypothesis import strategies as st

matrices = hnp.arrays(bool, hnp.array_shapes(min_dims=2, max_dims=2, max_side=9))
"""Any small matrix. (Not yet a pattern: the annotation checks draw random numbers, which
hypothesis does not allow in a strategy.)"""

symmetric_matrices = (
    st.integers(1, 7)
    .flatmap(lambda n: hnp.arrays(bool, (n, n)))
    .map(lambda dense: dense | dense.T)
)
"""Any small symmetric matrix."""
