"""Mutation testing: do the tests notice when the mathematics changes?

    python -m tests.mutants [--module=losses] [--only=TEXT] [--jobs=N]

Each mutant is a module with one small change, made by an operator of cosmic-ray (extra
`[mutants]`). It is noticed if a test of the module fails, or does not end. TensorFlow takes seconds
to load, so that it is loaded once, and each mutant is tested in a fork; that is safe as long as
TensorFlow has computed nothing before. Linux and macOS.

What was found is kept in .mutants_cache/ and not looked for again while module and tests are the
same. What no test notices is to be listed with a reason in surviving_mutants.txt, beside this file.
Exit code 1 if something is not, or if under 95 % of the mutants that change behaviour are noticed.
"""

import argparse
import ast
import collections
import contextlib
import dataclasses
import hashlib
import importlib
import importlib.abc
import importlib.util
import json
import math
import os
import pathlib
import resource
import signal
import sys
import tempfile
import time
import traceback

from micle_tf import console

ROOT = pathlib.Path(__file__).resolve().parent.parent
CACHE = ROOT / ".mutants_cache"
LISTED = pathlib.Path(__file__).with_name("surviving_mutants.txt")

# {module: what pytest is given to test it}
MODULES = {
    "data_builders/splits.py": ["tests/data_builders/test_splits.py"],
    "micle_tf/evaluation/intervals.py": ["tests/evaluation/test_intervals.py"],
    "micle_tf/evaluation/metrics.py": [
        "tests/evaluation/test_metrics.py", "tests/evaluation/test_metrics_findings.py",
    ],
    "micle_tf/data/targets.py": ["tests/data/test_targets.py"],
    "micle_tf/data/sampling.py": [
        "tests/data/test_sampling.py",
        # Its other process is no fork, has no mutant in it, and differs whatever the test is worth.
        "--deselect=tests/data/test_sampling.py::test_another_process_draws_the_same",
    ],
    "micle_tf/losses.py": ["tests/test_losses.py", "tests/test_losses_classification.py"],
    "micle_tf/optimizers.py": ["tests/test_optimizers.py"],
}  # fmt: skip
# Operators of cosmic-ray by name: of each sign the neighbour and the opposite.
OPERATORS = {
    "ReplaceBinaryOperator_": "Add_Sub Sub_Add Mul_Div Div_Mul FloorDiv_Mul Mod_Div Pow_Mul "
    "BitOr_BitAnd BitAnd_BitOr",
    "ReplaceComparisonOperator_": "Eq_NotEq NotEq_Eq Is_IsNot IsNot_Is Lt_LtE Lt_GtE LtE_Lt "
    "LtE_Gt Gt_GtE Gt_LtE GtE_Gt GtE_Lt",
    "ReplaceUnaryOperator_": "USub_UAdd Delete_Not Delete_Invert",
    "Replace": "TrueWithFalse FalseWithTrue AndWithOr OrWithAnd BreakWithContinue "
    "ContinueWithBreak",
    "": "AddNot NumberReplacer ExceptionReplacer RemoveDecorator ZeroIterationForLoop ReturnNone",
}
SHARE = 0.95
PATIENCE = 10  # seconds of CPU that tests may take beside five times what they take as it is
STANDSTILL = 100  # and the seconds for each of these after which they are taken to stand still
PAUSE = 0.02
# What tests import, as far as it is not ours; whatever is missing here costs time, no more.
HEAVY = ("tensorflow", "keras", "scipy.stats", "sklearn.metrics", "tensorflow_datasets", "pytest")
# No plugin that costs time and none of others; a failure is not explained.
PYTEST = [
    "-x", "-q", "--disable-plugin-autoload", "--assert=plain", "--tb=line", "-o",
    "addopts=--import-mode=importlib",
    *(f"-pno:{plugin}" for plugin in ("cacheprovider", "unraisableexception", "threadexception")),
]  # fmt: skip
OURS = ("micle_tf", "data_builders", "tests")


@dataclasses.dataclass(frozen=True)
class Mutant:
    """A module with one change: which, where, the line before and after, and the whole source."""

    operator: str
    line: int
    before: str
    after: str
    source: str


# ---------------------------------------------------------------- making them


def operators():
    """{name: operator of cosmic-ray}"""
    import parso
    from cosmic_ray.operators.operator import Operator
    from cosmic_ray.operators.provider import OperatorProvider

    class ReturnNone(Operator):
        """return x -> return None, which cosmic-ray has not."""

        def mutation_positions(self, node):
            if node.type == "return_stmt" and node.children[1].type != "keyword":
                yield node.start_pos, node.end_pos

        def mutate(self, node, index):
            node.children[1:] = [parso.parse(" None")]
            return node

        @classmethod
        def examples(cls):
            return ()

    known = OperatorProvider()
    names = [start + end for start, ends in OPERATORS.items() for end in ends.split()]
    return {name: ReturnNone() if name == "ReturnNone" else known[name]() for name in names}


def left_out(source):
    """Ranges of type annotations, which nothing computes with, as ((line, column), ...)."""
    found = []
    for node in ast.walk(ast.parse(source)):
        for name in ("annotation", "returns"):
            if (part := getattr(node, name, None)) is not None:
                start, end = (part.lineno, part.col_offset), (part.end_lineno, part.end_col_offset)
                found.append((start, end))
    return found


def mutants_of(source):
    """The mutants of a source, each another program."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.mutating import mutate_code

    nodes, ranges = list(ast_nodes(get_ast(source))), left_out(source)
    programs = {ast.dump(ast.parse(source))}
    for name, operator in operators().items():
        places = [(n, start) for n in nodes for start, _ in operator.mutation_positions(n)]
        for occurrence, (node, place) in enumerate(places):
            marks_parameters = node.type == "operator" and node.parent.type.startswith("param")
            if marks_parameters or any(start <= place < end for start, end in ranges):
                continue
            mutated = mutate_code(source, operator, occurrence)
            try:
                program = ast.dump(ast.parse(mutated))
            except SyntaxError:
                continue
            if program not in programs:
                programs.add(program)
                before, after = changed_lines(source, mutated)
                yield Mutant(name, place[0], before, after, mutated)


def changed_lines(source, mutated):
    """What was there, and what is there instead, each as one line."""
    old, new = source.splitlines(), mutated.splitlines()
    for end in (0, -1):
        while old and new and old[end] == new[end]:
            old.pop(end), new.pop(end)
    return tuple(" ".join(line.strip() for line in lines) for lines in (old, new))


# ---------------------------------------------------------------- testing them


class Finder(importlib.abc.MetaPathFinder):
    """Finds one module elsewhere; in a file, since AutoGraph reads the source of what it traces."""

    def __init__(self, name, path):
        self.name, self.path = name, path

    def find_spec(self, name, path, target=None):
        if name == self.name:
            return importlib.util.spec_from_file_location(name, self.path)


class QuickestFirst:
    """A plugin of pytest that orders tests by the seconds they took, and notes what they take."""

    def __init__(self, seconds):
        self.seconds, self.noted = seconds, {}

    def pytest_collection_modifyitems(self, items):
        items.sort(key=lambda item: self.seconds.get(item.nodeid, 0))

    def pytest_runtest_logreport(self, report):
        self.noted[report.nodeid] = self.noted.get(report.nodeid, 0) + report.duration


def run_tests(folder, module, source, arguments, seconds):
    """Runs the tests of a module with another source, in a process made for that; its exit code."""
    import pytest

    path = pathlib.Path(folder, pathlib.Path(module).name)
    path.write_text(source, encoding="utf-8")
    name = module.removesuffix(".py").replace("/", ".")
    for loaded in [key for key in sys.modules if key.split(".")[0] in OURS]:
        del sys.modules[loaded]
    sys.meta_path.insert(0, Finder(name, path))
    plugin = QuickestFirst(seconds)
    code = pytest.main([*PYTEST, f"--basetemp={folder}/pytest", *arguments], [plugin])
    pathlib.Path(folder, "seconds.json").write_text(json.dumps(plugin.noted), encoding="utf-8")
    if not code and sys.modules[name].__file__ != str(path):
        return 70  # the tests were not those of this source
    return int(code)


class Fork:
    """A process that runs `run_tests`, and the folder it writes to."""

    def __init__(self, limit, *arguments):
        self._folder = tempfile.TemporaryDirectory()
        self.folder = pathlib.Path(self._folder.name)
        self._end = time.monotonic() + STANDSTILL * limit
        self._pid = os.fork()
        if self._pid:
            return
        code = 71
        try:
            os.setpgid(0, 0)  # no session of its own: a scheduler may share out time by session
            resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))
            log = os.open(self.folder / "log", os.O_CREAT | os.O_WRONLY)
            os.dup2(log, 1)
            os.dup2(log, 2)
            code = run_tests(self.folder, *arguments)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(code)

    def code(self):
        """Exit code, negative if it was a signal; None if it runs and still may."""
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        if not pid and time.monotonic() > self._end:
            os.killpg(self._pid, signal.SIGKILL)
            pid, status = os.waitpid(self._pid, 0)
        return os.waitstatus_to_exitcode(status) if pid else None

    def close(self):
        """Ends whatever is left of it, and removes the folder; once."""
        if self._pid:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._pid, signal.SIGKILL)
            self._folder.cleanup()
        self._pid = 0


def tested_as_it_is(module):
    """{test: seconds} of a module without a change, which has to pass, and the seconds in all."""
    source, before = (ROOT / module).read_text(encoding="utf-8"), os.times()
    with contextlib.closing(Fork(3600, module, source, MODULES[module], {})) as fork:
        while (code := fork.code()) is None:
            time.sleep(PAUSE)
        if code:
            sys.exit(f"{module}: its tests fail as it is:\n{(fork.folder / 'log').read_text()}")
        seconds = json.loads((fork.folder / "seconds.json").read_text(encoding="utf-8"))
    now = os.times()
    return seconds, now.children_user + now.children_system - before[2] - before[3]


class Results:
    """Which mutants of a module were noticed, kept in a file; new tests make all of them new."""

    def __init__(self, module):
        CACHE.mkdir(exist_ok=True)
        self._path = CACHE / (module.replace("/", ".") + "l")
        paths = [ROOT / part for part in MODULES[module] if part.endswith(".py")]
        self._tests = repr([MODULES[module], [path.read_bytes() for path in paths]]).encode()
        lines = self._path.read_text().splitlines() if self._path.exists() else []
        self._noticed = dict(json.loads(line) for line in lines)

    def _key(self, mutant):
        return hashlib.sha256(self._tests + mutant.source.encode()).hexdigest()

    def get(self, mutant):
        """True, False, or None if it was not tested."""
        return self._noticed.get(self._key(mutant))

    def add(self, mutant, noticed):
        self._noticed[self._key(mutant)] = noticed
        with open(self._path, "a", encoding="utf-8") as file:
            file.write(json.dumps([self._key(mutant), noticed]) + "\n")


def judge(module, mutants, jobs):
    """Tests those that were not, and returns {mutant: whether it was noticed}."""
    results = Results(module)
    left = [mutant for mutant in mutants if results.get(mutant) is None]
    if left:
        seconds, whole = tested_as_it_is(module)
        limit = PATIENCE + math.ceil(5 * whole)
    progress = console.Progress(module, len(mutants), "mutant", len(mutants) - len(left))
    running = {}
    with progress, contextlib.ExitStack() as forks:
        while left or running:
            while left and len(running) < jobs:
                mutant = left.pop(0)
                fork = Fork(limit, module, mutant.source, MODULES[module], seconds)
                running[mutant] = forks.enter_context(contextlib.closing(fork))
            time.sleep(PAUSE)
            ended = {mutant: fork.code() for mutant, fork in running.items()}
            for mutant, code in ended.items():
                if code in (70, 71):
                    sys.exit(f"{module}: {(running[mutant].folder / 'log').read_text()}")
                if code is not None:
                    results.add(mutant, code != 0)
                    running.pop(mutant).close()
                    progress.update()
    return {mutant: results.get(mutant) for mutant in mutants}


# ---------------------------------------------------------------- judging them


def listed():
    """{module: {(line before, line after): whether it is another behaviour}} of LISTED."""
    found, lines = collections.defaultdict(dict), []
    for text in LISTED.read_text(encoding="utf-8").splitlines():
        sign, rest = text[:1], text[1:].strip()
        if sign == "@":
            module, lines = rest, []
        elif sign == "-":
            before = rest
        elif sign == "+":
            lines.append((before, rest))
        elif sign in ("=", "~") and rest:  # the reason, of all since the last one
            found[module] |= dict.fromkeys(lines, sign == "~")
            lines = []
    return found


def faults_of(module, survivors, known):
    """Survivors that are not listed, and what is listed and survives no more."""
    change = "- {}\n+ {}".format
    for mutant in survivors:
        if (mutant.before, mutant.after) not in known:
            where = f"{module}:{mutant.line}: {mutant.operator}"
            yield f"{where}: not noticed\n{change(mutant.before, mutant.after)}"
    there = {(mutant.before, mutant.after) for mutant in survivors}
    for lines in known.keys() - there:
        yield f"{module}: listed in {LISTED.name}, and is noticed or gone\n{change(*lines)}"


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--module", default="", help="only modules whose path has this in it")
    parser.add_argument("--only", default="", help="only mutants whose line has this in it")
    parser.add_argument("--jobs", type=int, default=1, help="how many are tested at once")
    options = parser.parse_args(arguments)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("MPLBACKEND", "Agg")
    for name in HEAVY:
        importlib.import_module(name)
    rows, faults = [], []
    for module in [module for module in MODULES if options.module in module]:
        source = (ROOT / module).read_text(encoding="utf-8")
        mutants = [m for m in mutants_of(source) if options.only in m.before]
        noticed = judge(module, mutants, options.jobs)
        survivors = [mutant for mutant in mutants if not noticed[mutant]]
        known = {key: value for key, value in listed()[module].items() if options.only in key[0]}
        faults += faults_of(module, survivors, known)
        alike = sum(known.get((m.before, m.after)) is False for m in survivors)
        rows.append((module, len(mutants), len(mutants) - len(survivors), alike))
    rows.append(("all", *(sum(row[k] for row in rows) for k in (1, 2, 3))))
    print("\n".join(faults))
    print("| module | mutants | noticed | same behaviour | of the others |\n|---|---|---|---|---|")
    for module, count, noticed, alike in rows:
        share = noticed / max(count - alike, 1)
        print(f"| `{module}` | {count} | {noticed} | {alike} | {100 * share:.1f} % |")
    return int(bool(faults) or share < SHARE)


if __name__ == "__main__":
    sys.exit(main())
