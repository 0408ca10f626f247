"""Solvers that take products with the matrix, and preconditioners."""
