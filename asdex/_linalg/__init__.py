"""Products, algebra and solves on patterns and vectors of values."""
