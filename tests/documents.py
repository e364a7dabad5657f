"""The documents as a test reads them: links, anchors, fenced blocks, and the commands in these."""

import os
import pathlib
import re
import shlex
import typing
import urllib.parse

ROOT = pathlib.Path(__file__).parents[1]
LANGUAGES = ("bash", "csv", "python", "text", "toml")
_NO_PART = ("build", "runs")  # folders that are no part of the checkout


def all_documents(root=ROOT):
    """Every .md of a checkout, as paths below it."""
    found = []
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if name[0] != "." and name not in _NO_PART]
        found += [pathlib.Path(folder, name) for name in files if name.endswith(".md")]
    return sorted(path.relative_to(root) for path in found)


# ---------------------------------------------------------------- links


def anchors_of(text):
    """The anchors that GitHub gives the headings of a document.

    Small letters; of the rest only letters, digits, underscores and hyphens, with hyphens for
    blanks; a number behind those that are there already.
    """
    anchors, seen = set(), {}
    for heading in re.findall(r"^#{1,6} +(.*?)[ #]*$", without_fences(text), re.MULTILINE):
        heading = re.sub(r"!?\[(.*?)\]\(.*?\)", r"\1", heading)  # what a link shows
        anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        number = seen.get(anchor, 0)
        seen[anchor] = number + 1
        anchors.add(f"{anchor}-{number}" if number else anchor)
    return anchors


def without_fences(text):
    """The text without its fenced blocks, with as many lines."""
    lines, fence = [], ""
    for line in text.splitlines():
        marks = re.match(r" {0,3}(```+|~~~+)", line)
        if marks and (not fence or marks[1].startswith(fence)):
            fence = "" if fence else marks[1]
            line = ""
        lines.append("" if fence else line)
    return "\n".join(lines)


def links_of(text):
    """[(line, target)] of the links and pictures of a document, code left out."""
    shown = re.sub(r"(`+)(?!`)(.*?[^`])\1(?!`)", _blanked, without_fences(text), flags=re.DOTALL)
    found = [
        *re.finditer(r"\]\(\s*<?([^\s)>]*)>?(?:\s+\"[^\"]*\")?\s*\)", shown),
        *re.finditer(r"^ {0,3}\[[^\]]+\]:\s*<?([^\s>]+)", shown, re.MULTILINE),
    ]
    return [(shown.count("\n", 0, match.start()) + 1, match[1]) for match in found]


def _blanked(code):
    return re.sub(r"[^\n]", " ", code[0])


def dead_links(document, root):
    """["README.md:12: docs/gone.md: ..."] of relative links that lead nowhere, or out of `root`."""
    root = root.resolve()
    faults = []
    for line, target in links_of((root / document).read_text(encoding="utf-8")):
        if re.match(r"[a-z][a-z0-9+.-]*:", target):
            continue
        name, _, anchor = urllib.parse.unquote(target).partition("#")
        path = (root / document).parent / name if name else root / document
        where = f"{document}:{line}: {target}"
        if not path.exists() or not path.resolve().is_relative_to(root):
            faults.append(f"{where}: no such file")
        elif anchor and path.suffix != ".md":
            faults.append(f"{where}: an anchor of what is no document")
        elif anchor and anchor not in anchors_of(path.read_text(encoding="utf-8")):
            faults.append(f"{where}: no such heading")
    return faults


# ---------------------------------------------------------------- commands


class Block(typing.NamedTuple):
    """A fenced block: its language, "" without, its lines, and the number of the first."""

    language: str
    lines: list
    first: int


class Command(typing.NamedTuple):
    """A command of a document.

    Attributes:
      where: "README.md:12".
      text: the command without comments, its lines joined.
      why_not: why no test runs it; "" if one has to.
    """

    where: str
    text: str
    why_not: str

    @property
    def parts(self):
        """The words of what stands between "&&"."""
        parts = [[]]
        for word in shlex.split(self.text):
            if word == "&&":
                parts.append([])
            else:
                parts[-1].append(word)
        return parts


def blocks_of(text):
    """The fenced blocks of a document."""
    blocks, fence = [], ""
    for number, line in enumerate(text.splitlines(), 1):
        marks = re.match(r" {0,3}(```+|~~~+)\s*(.*)", line)
        if marks and not fence:
            fence = marks[1]
            blocks.append(Block(marks[2].strip(), [], number + 1))
        elif marks and marks[1].startswith(fence):
            fence = ""
        elif fence:
            blocks[-1].lines.append(line)
    return blocks


def commands_of(document, text):
    """The `Command`s in the bash blocks of a document."""
    return [
        command
        for block in blocks_of(text)
        if block.language == "bash"
        for command in _commands(document, block)
    ]


def _commands(document, block):
    why_not_here, begun, first = "", "", 0
    for number, line in enumerate(block.lines, block.first):
        if not begun and line.startswith("#"):
            why_not_here = _why_not(line) or why_not_here
            continue
        if not begun and not line.strip():
            why_not_here = ""
            continue
        first = first if begun else number
        begun += line
        if begun.endswith("\\"):
            begun = begun[:-1]
            continue
        try:
            words = shlex.split(begun, comments=True)
        except ValueError:  # a quotation that goes on
            begun += "\n"
            continue
        text = shlex.join(words).replace("'&&'", "&&")
        yield Command(f"{document}:{first}", text, _why_not(begun) or why_not_here)
        begun = ""
    if begun:
        raise ValueError(f"{document}:{first}: a command without an end")


def _why_not(line):
    """What a comment says after "not run by the tests:"; "" without."""
    found = re.search(r"#.*\bnot run by the tests: *([^)]*)", line)
    if found and not found[1].strip():
        raise ValueError(f"{line}: says not why")
    return found[1].strip() if found else ""


def flags_of(words):
    """The flags of a command of ours, [] of the command alone; None if it is not one of ours."""
    while words and re.match(r"[A-Z_]+=|srun$|--ntasks=", words[0]):  # what it is started with
        words = words[1:]
    for name in (["python", "run.py"], ["python", "-m", "micle_tf"], ["micle-tf"]):
        if words[: len(name)] == name:
            return words[len(name) :]
    return None
