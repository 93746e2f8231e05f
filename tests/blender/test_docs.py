# SPDX-License-Identifier: GPL-3.0-or-later
"""The documentation calls buttons and messages by the names that the artist sees."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

PAGES = ("tutorial.md", "manual.md", "troubleshooting.md")
KEYS = {"Ctrl click", "X", "Esc"}
SOURCES = ("operators", "ui", "neural", "mesh")


def texts(path: Path) -> list[str]:
    """The string literals of a source, with … for what is put in at run time; conditional parts as well."""
    out = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            out.append(node.value)
        elif isinstance(node, ast.JoinedStr):
            out.append("".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values))
    return out


@pytest.fixture(scope="module")
def sources(repository: Path) -> list[Path]:
    return [path for folder in SOURCES for path in sorted((repository / folder).rglob("*.py"))]


def names(bpy, repository: Path) -> set[str]:
    """Every word or phrase that Mien's interface shows."""
    import mien
    found = {text for path in (repository / "ui").glob("*.py") for text in texts(path)}
    for cls in (c for module in mien._modules() for c in module.CLASSES):
        found.add(getattr(cls, "bl_label", ""))
        rna = getattr(bpy.ops.mien, cls.bl_idname.split(".")[1]).get_rna_type() if issubclass(cls, bpy.types.Operator) else cls.bl_rna
        for prop in (p for p in rna.properties if p.identifier in getattr(cls, "__annotations__", {})):
            found.add(prop.name)
            found |= {item.name for item in prop.enum_items} if prop.type == "ENUM" else set()
    from mien.operators import compare, composite
    found |= {label for _, label, _ in compare.MODES} | set(composite.CONTROLS)
    return {name.strip().rstrip(".") for name in found} | {"+", "-"} | KEYS


@pytest.mark.parametrize("page", PAGES)
def test_names_in_bold_are_those_of_the_interface(blender, repository: Path, page: str) -> None:
    known = names(blender, repository)
    starts = tuple(name.split("…")[0] for name in known if "…" in name and len(name.split("…")[0]) > 8)
    text = (repository / "docs" / page).read_text(encoding="utf-8")
    for line in re.sub(r"(?<!\n)\n *(?![\n|-])", " ", text).splitlines():  # a name may go over the end of a line
        for name in re.findall(r"\*\*([^*]+)\*\*", line):
            heading = line.startswith("- **") and page == "troubleshooting.md" and line.startswith(f"- **{name}**")
            plain = name.strip().rstrip(".").strip()
            assert heading or plain in known or plain.startswith(starts), f"{page}: nothing in Mien is called '{name}'"


def test_messages_are_those_that_mien_says(repository: Path, sources: list[Path]) -> None:
    said = [text for path in sources for text in texts(path)]
    page = (repository / "docs/troubleshooting.md").read_text(encoding="utf-8")
    messages = re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)
    assert len(messages) > 30
    for message in messages:
        pattern = re.compile(".*".join(re.escape(part) for part in message.split("…")), re.DOTALL)
        assert any(pattern.search(text) for text in said), f"nothing in Mien says '{message}'"


def test_pictures_are_there_and_none_is_left_over(repository: Path) -> None:
    shown = {name for page in (repository / "docs").glob("*.md") for name in re.findall(r"\]\(images/([^)]+)\)", page.read_text(encoding="utf-8"))}
    shown |= set(re.findall(r"docs/images/([\w.]+)", (repository / "README.md").read_text(encoding="utf-8")))
    present = {path.name for path in (repository / "docs/images").iterdir()}
    assert shown <= present
    assert {name for name in present - shown if name.startswith(("tutorial_", "manual_"))} == set()
