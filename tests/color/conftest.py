"""Settings of the tests of colorings."""

from hypothesis import settings

# The first example of a test may compile a loop, which takes longer than the default.
settings.register_profile("compiling", deadline=None)
settings.load_profile("compiling")
