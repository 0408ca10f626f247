"""A module of the user's with a variable that a test changes."""

scale = 1.0
