"""lineax, if it is installed."""

try:
    import lineax as lx
except ImportError as error:
    raise ImportError(
        "asdex.lineax needs the package lineax. Install it with `pip install lineax`."
    ) from error

__all__ = ["lx"]
