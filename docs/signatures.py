"""Shows the arguments of functions that have the signature of another, and links names."""

import re
from pathlib import Path
from typing import Any

import griffe

_SOURCE = Path(__file__).parents[1] / "asdex" / "__init__.py"
_PUBLIC = set(re.findall(r'^    "(\w+)",$', _SOURCE.read_text(), re.MULTILINE))


class SignatureOf(griffe.Extension):
    """Reads `@signature_of(template)` as `asdex` does when it is imported."""

    def on_package(self, *, pkg: griffe.Module, **kwargs: Any) -> None:
        """Copy the arguments of templates, once all files have been read."""
        files = pkg["_verbs"].modules.values()
        functions = [f for file in files for f in file.functions.values() if not f.is_alias]
        templates = {function.name: function for function in functions}
        for function in functions:
            for decorator in function.decorators:
                if match := re.fullmatch(r"signature_of\((\w+)\)", str(decorator.value)):
                    template = templates[match[1]]
                    function.parameters = template.parameters
                    function.returns = template.returns


class Links(griffe.Extension):
    """Makes links of the names of other public objects in docstrings."""

    names = _PUBLIC - {"dense", "solve"}

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        """Replace names in backticks, but for that of the object itself."""
        if obj.docstring is None:
            return

        def link(match: re.Match[str]) -> str:
            name = match[1]
            is_other = name in self.names and name != obj.name
            return f"[`{name}`][asdex.{name}]" if is_other else match[0]

        pattern = r"(?<![`\[])`(?:asdex\.)?(\w+)`(?![`\]])"
        obj.docstring.value = re.sub(pattern, link, obj.docstring.value)
