"""Text, notebook and plot views of patterns, colorings and operators."""
