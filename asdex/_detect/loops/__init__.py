"""Loops: the pattern of a step, and what many steps make of it.

`recurrence` takes powers of the pattern of a `body`; `steps` carries coefficients along the
loop in the emitted program; `peeled` takes the first step apart, and `batched` reads loops
that `vmap` has batched.
"""
