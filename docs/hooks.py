"""What the site shows beside docs/: pages that stand at the root of the repository, and the names of `viewcov`."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "LICENSE": "LICENSE.txt",
    "examples/README.md": "tutorials.md",
}


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """The files of docs/ and, beside them, those of the root, their links turned to where they stand here."""
    tutorials = sorted((ROOT / "examples").glob("*.py"))
    for source, page in PAGES.items():
        text = (ROOT / source).read_text("utf-8").replace("](docs/", "](")
        for script in tutorials:
            text = text.replace(f"]({script.name})", f"](#{script.stem})")
        for other, name in PAGES.items():
            text = text.replace(f"]({other})", f"]({name})")
        if source == "examples/README.md":
            text += "".join(_code(script) for script in tutorials)
        files.append(File.generated(config, page, content=text))
    return files


def _code(script: Path) -> str:
    return f"\n## {script.stem}\n\n```python\n{script.read_text('utf-8')}```\n"


def on_page_markdown(markdown: str, **_: object) -> str:
    """The page, with a table of the root's names, or the modules of a room, where it asks for them."""
    markdown = re.sub(r"<!-- names of viewcov -->", lambda _: root_names(), markdown)
    return re.sub(r"<!-- modules of ([a-z/]+) -->", lambda found: modules(found[1]), markdown)


def modules(room: str) -> str:
    """Every module and folder of a room, to be described; what the room itself exports would come twice."""
    package = ".".join(["viewcov", *Path(room).parts]).replace(".toolkit", "")
    inside = [path.stem for path in (ROOT / room).iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()]
    options = "    options:\n      show_root_heading: true\n      show_root_toc_entry: true\n"
    return "\n".join(f"::: {package}.{name}\n{options}" for name in sorted(inside) if not name.startswith("_"))


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
    inside = home.removeprefix("viewcov.").replace(".", "/")
    places = [folder / f"{inside}{end}" for folder in (ROOT, ROOT / "toolkit") for end in (".py", "/__init__.py")]
    file = next(place for place in places if place.is_file())
    for node in ast.parse(file.read_text("utf-8")).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return (ast.get_docstring(node) or "").partition("\n")[0]
    return ""
