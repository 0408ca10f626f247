"""Factors of compiled libraries on the host, called from programs of JAX.

`calls` makes a back end of a solver that is an ordinary object. `store` keeps what it has
factored. Sparse factors are those of a matrix with `permuted` rows and columns, may be
`judged` by the residual of their solutions, and give `selected` elements of the inverse.
"""
