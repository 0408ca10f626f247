"""Types, errors, index arrays, and the differences between JAX versions."""
