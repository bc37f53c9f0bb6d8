"""What is said of methods, backbones and sources: the registries say it."""

from __future__ import annotations

from docs_site.citations import citation_of
from docs_site.markdown import anchor, code, heading, paragraphs, plain, table
from runner.cli.list import options
from xmft.backbones import FAMILIES
from xmft.backbones.weights import NAMED
from xmft.methods import METHODS, Method
from xmft.methods.variants import options_of
from xmft.source import PROXIES


def methods() -> str:
    """Return one table of all methods, and the options and presets of each."""
    rows = [
        [
            f"[`{method.name}`](#{anchor(method.name)})",
            plain(method.title),
            ", ".join(map(code, method.presets)),
            ", ".join(method.kinds),
        ]
        for method in METHODS.values()
    ]
    parts = [table(["method", "what it does", "presets", "tasks"], rows)]
    return "\n\n".join([*parts, *map(_method, METHODS.values())])


def _method(method: type[Method]) -> str:
    parts = [heading(3, code(method.name), method.name)]
    parts += [plain(paragraph) for paragraph in paragraphs(method.__doc__)[:1]]
    facts = [
        f"version {method.version}",
        "a backbone" if method.uses_backbone else "no backbone",
        "pretrained weights" if method.uses_backbone and method.pretrained else "random weights",
        "a source" if method.uses_source else "no source",
    ]
    parts.append(f"{', '.join(facts).capitalize()}.")
    if cited := citation_of(method.name):
        parts.append(f"Cite {cited}.")
    rows = [
        [code(name), code(value), plain(description)]
        for name, value, description in options(method.Config())
    ]
    if not rows:
        return "\n\n".join([*parts, "It has no options."])
    presets = {
        preset: {
            name: value
            for name, value, _ in options(
                method.Config.model_validate(options_of(f"{method.name}:{preset}", {}))
            )
        }
        for preset in method.presets
    }
    for row, (name, value, _) in zip(rows, options(method.Config()), strict=True):
        row[2:2] = [
            code(changed[name]) if changed[name] != value else "" for changed in presets.values()
        ]
    parts.append(table(["option", "default", *map(code, presets), "what it is"], rows))
    for preset, fields in method.preset_recipes.items():
        said = ", ".join(f"{code(field)} {code(value)}" for field, value in fields.items())
        parts.append(f"Preset {code(preset)} also sets fields of the recipe: {said}.")
    return "\n\n".join(parts)


def backbones() -> str:
    """Return the table of the backbones that have names."""
    rows = [[code(name), plain(entry.title)] for name, entry in sorted(NAMED.items())]
    kinds = " or ".join(sorted(family.title for family in FAMILIES.values()))
    rows.append(["a hub id or a folder", plain(kinds)])
    return table(["backbone", "what it is"], rows)


def sources() -> str:
    """Return the table of the sources."""
    rows = [
        [code(name), proxy.modality, str(proxy.classes), plain(proxy.title)]
        for name, proxy in PROXIES.items()
    ]
    return table(["source", "for encoders of", "classes", "what it is"], rows)
