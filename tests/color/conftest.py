"""Settings of the tests of colorings."""

from hypothesis import settings

# The first example of a test may compile a loop, which takes longer than the default.
# Half as many examples as by default keep the suite within its time.
settings.register_profile("compiling", deadline=None, max_examples=50)
settings.load_profile("compiling")
