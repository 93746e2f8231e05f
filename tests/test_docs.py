# SPDX-License-Identifier: GPL-3.0-or-later
"""What the documentation says about messages, buttons and files is true."""

from __future__ import annotations

import ast
import re
from pathlib import Path

PACKAGES = ("mesh", "neural", "operators", "ui")


def literals(repository: Path) -> list[str]:
    """Every text in the code, with … for the parts that are filled in."""
    found = []
    for package in PACKAGES:
        for path in (repository / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    found.append("".join(str(v.value) if isinstance(v, ast.Constant) else "…" for v in node.values))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
    return found


def test_every_message_of_the_troubleshooting_is_in_the_code(repository: Path) -> None:
    page = (repository / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    messages = re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)
    assert len(messages) > 30
    said = "\n".join(literals(repository))
    for message in messages:
        parts = [re.escape(part) for part in message.split("…")]
        # A text may be built of two: then each part between the placeholders stands somewhere.
        whole = re.search("[^\n]*?".join(parts), said)
        assert whole or all(re.search(part, said) for part in parts if len(part) > 12), message


def test_the_buttons_that_the_pages_name_exist(repository: Path) -> None:
    said = set(literals(repository))
    for page in ("tutorial.md", "manual.md"):
        text = (repository / "docs" / page).read_text(encoding="utf-8")
        for name in set(re.findall(r"\*\*([A-Z][^*]{2,40})\*\*", text)):
            label = name.rstrip(".: ")
            assert any(label in s for s in said), f"{page}: {name}"


def test_links_and_pictures_are_there(repository: Path) -> None:
    for page in (repository / "docs").glob("*.md"):
        for target in re.findall(r"\]\(([^)#]+)", page.read_text(encoding="utf-8")):
            assert "://" in target or (page.parent / target).exists(), f"{page.name}: {target}"
