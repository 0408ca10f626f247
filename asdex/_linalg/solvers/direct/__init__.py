"""Back ends that factor the matrix, and the choice among them.

`diagonal`, `blocks` and `elimination` compute in pure JAX, `banded`, `triangular`,
`superlu` and `klu` by libraries on the host, `cusolver` on GPUs. `choose` picks one for a
pattern, by times that `predict` estimates where several suit it.
"""
