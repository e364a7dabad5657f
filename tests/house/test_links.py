"""README, docs/ and the others: their size, their links, and the places that they name."""

import ast
import pathlib
import re

import pytest

import micle_tf
from tests.documents import ROOT, all_documents, anchors_of, dead_links

# In the order in which a reader goes through them: a page may go on from the runs of one before.
READ = [
    "README.md",
    "docs/own_images.md",
    "docs/public_datasets.md",
    "docs/published_weights.md",
    "docs/choosing_settings.md",
    "docs/is_it_learning.md",
    "docs/few_labels.md",
    "docs/studies.md",
    "docs/laptop_to_cluster.md",
    "docs/nothing_lost.md",
    "docs/model_in_use.md",
    "docs/results.md",
    "docs/architecture.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "benchmarks/README.md",
]
CHAINS = "flags/README.md"  # run in test_recipes.py


def text_of(document):
    return (ROOT / document).read_text(encoding="utf-8")


def test_readme_is_one_page():
    lines = text_of("README.md").splitlines()
    assert len(lines) <= 200
    tables = ("|", "!")
    assert max(len(line) for line in lines if not line.startswith(tables)) <= 120


def test_changes_are_sorted_by_version():
    headings = re.findall(r"^##+ (.*)$", text_of("CHANGELOG.md"), re.MULTILINE)
    kinds = ("Added", "Changed", "Fixed")
    assert headings[0] == "Unreleased" and micle_tf.__version__ in headings
    versions = [name for name in headings if name not in kinds]
    assert all(re.fullmatch(r"Unreleased|\d+\.\d+\.\d+", name) for name in versions)
    for version in versions:
        own = headings[headings.index(version) + 1 :]
        own = own[: next((i for i, name in enumerate(own) if name in versions), None)]
        assert own == [kind for kind in kinds if kind in own] and own
    assert max(map(len, text_of("CHANGELOG.md").splitlines())) <= 120


def test_the_citation_is_of_this_version():
    lines = text_of("CITATION.cff").splitlines()
    stated = dict(line.split(": ", 1) for line in lines if re.match(r"[a-z-]+: ", line))
    assert stated["cff-version"] == "1.2.0" and stated["license"] == "Apache-2.0"
    assert stated["version"] == micle_tf.__version__
    method = "Big Self-Supervised Models Advance Medical Image Classification"
    assert f"  title: {method}" in lines and f'"{method}"' in text_of("README.md")
    authors = re.findall(r"family-names: (\w+)", text_of("CITATION.cff"))
    cited = (ROOT / "data_builders/derm_cases/CITATIONS.bib").read_text(encoding="utf-8")
    (listed,) = re.findall(r"azizi2021big.*?author = \{(.*?)\}", cited, re.DOTALL)
    assert authors == [name.split(",")[0].strip() for name in re.split(r"\s+and\s+", listed)]


def test_no_link_is_dead():
    documents = all_documents()
    assert {*map(pathlib.Path, READ), pathlib.Path(CHAINS)} <= set(documents)
    faults = [fault for document in documents for fault in dead_links(document, ROOT)]
    assert not faults, "\n".join(faults)


def test_a_dead_link_and_a_dead_anchor_are_found(tmp_path):
    (tmp_path / "docs").mkdir()
    (tmp_path / "picture.png").touch()
    (tmp_path / "docs/page.md").write_text(
        "# A page: `code`, *and* so_on\n## Twice\n## Twice\n[up](../README.md#top--bottom)\n"
        "[out](../../elsewhere.md)\n```\n# no heading\n[no](link.md)\n```\n[ref]: gone.md\n"
    )
    (tmp_path / "README.md").write_text(
        "# Top & bottom\n![p](picture.png) [a](docs/page.md#a-page-code-and-so_on)\n"
        "[b](docs/page.md#twice-1) [c](docs/page.md#twice-2) [d](docs/gone.md)\n"
        "[e](#top--bottom) [f](#no-heading) `[g](gone.md)` [h](https://example.org/#x)\n"
        "[i](docs/page.md#no-heading) [j](picture.png#part) [k](docs)\n"
    )
    assert dead_links(pathlib.Path("README.md"), tmp_path) == [
        "README.md:3: docs/page.md#twice-2: no such heading",
        "README.md:3: docs/gone.md: no such file",
        "README.md:4: #no-heading: no such heading",
        "README.md:5: docs/page.md#no-heading: no such heading",
        "README.md:5: picture.png#part: an anchor of what is no document",
    ]
    faults = dead_links(pathlib.Path("docs/page.md"), tmp_path)
    (tmp_path.parent / "elsewhere.md").touch()  # there, but no part of the checkout
    assert dead_links(pathlib.Path("docs/page.md"), tmp_path) == faults
    assert faults == [
        "docs/page.md:5: ../../elsewhere.md: no such file",
        "docs/page.md:10: gone.md: no such file",
    ]
    assert all_documents(tmp_path) == [pathlib.Path("README.md"), pathlib.Path("docs/page.md")]


@pytest.mark.parametrize(
    "heading, anchor",
    [
        ("Nothing lost on the way", "nothing-lost-on-the-way"),
        ("Is it learning?", "is-it-learning"),
        ("training.png", "trainingpng"),
        ("[Linked](x.md) and `--flag=a_b`", "linked-and---flaga_b"),
        ("Größe, 95 %", "größe-95-"),
    ],
)
def test_anchors_are_githubs(heading, anchor):
    assert anchors_of(f"text\n\n## {heading}\n") == {anchor}


def names_in(path):
    """Functions, classes and constants of a module; methods as Class.method."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        if isinstance(node, ast.ClassDef):
            yield from (f"{node.name}.{n.name}" for n in node.body if hasattr(n, "name"))
        if isinstance(node, ast.Assign):
            yield from (target.id for target in node.targets if isinstance(target, ast.Name))


def test_the_map_of_the_code_is_true():
    text = text_of("docs/architecture.md")
    places = set(re.findall(r"`((?:micle_tf|data_builders|tests)/[\w./]*?)(?::([\w.]+))?`", text))
    faults = []
    for path, name in sorted(places):
        if not (ROOT / path).exists():
            faults.append(f"{path}: no such file")
        elif name and name not in names_in(ROOT / path):
            faults.append(f"{path}: no {name} in it")
    assert not faults, "\n".join(faults)
    assert sum(bool(name) for _, name in places) > 60
