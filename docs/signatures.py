"""Shows the arguments of functions that have the signature of another."""

import re
from typing import Any

import griffe


class SignatureOf(griffe.Extension):
    """Reads `@signature_of(template)` as `asdex` does when it is imported."""

    def on_function(self, *, func: griffe.Function, **kwargs: Any) -> None:
        """Copy the arguments of the template, which is in the same file."""
        for decorator in func.decorators:
            if match := re.fullmatch(r"signature_of\((\w+)\)", str(decorator.value)):
                template = func.parent[match[1]]
                func.parameters, func.returns = template.parameters, template.returns
