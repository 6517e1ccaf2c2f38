"""What the site shows beside docs/: pages that stand at the root of the repository, and the names of `viewcov`."""

from __future__ import annotations

import ast
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "LICENSE": "LICENSE.txt",
}


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """The files of docs/ and, beside them, those of the root, their links turned to where they stand here."""
    for source, page in PAGES.items():
        text = (ROOT / source).read_text("utf-8").replace("](docs/", "](")
        for other, name in PAGES.items():
            text = text.replace(f"]({other})", f"]({name})")
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, **_: object) -> str:
    """The page, with a table of the root's names where it asks for one."""
    mark = "<!-- names of viewcov -->"
    return markdown.replace(mark, root_names()) if mark in markdown else markdown


def root_names() -> str:
    """Table of what `viewcov` exports: each name with its place and the first line of its docstring."""
    tree = ast.parse((ROOT / "toolkit" / "__init__.py").read_text("utf-8"))
    homes = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("viewcov.")
        for alias in node.names
    }
    rows = [
        f"| [`{name}`][{home}.{there}] | {_first_line(home, there)} |" for name, (home, there) in sorted(homes.items())
    ]
    return "\n".join(["| name | is |", "|---|---|", *rows])


def _first_line(home: str, name: str) -> str:
    """First line of the docstring of a class or function, read without importing it."""
    inside = home.removeprefix("viewcov.")
    places = [ROOT / inside.replace(".", "/"), ROOT / "toolkit" / inside.replace(".", "/")]
    file = next(path for place in places if (path := place.with_suffix(".py")).is_file())
    for node in ast.parse(file.read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return (ast.get_docstring(node) or "").partition("\n")[0]
    return ""
