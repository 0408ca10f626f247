"""Patterns, colorings and the layouts of their entries: static structure only."""
