"""The public functions on derivatives."""
