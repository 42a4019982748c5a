"""Imports go one way, private modules stay at home, folders and files stay small."""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

import hessdiag

ROOT = Path(hessdiag.__file__).parents[1]

#: Packages, and modules of the top level, in the order of the flow: each may import those before
#: it. A package's own modules stand after its subpackages, which do not know of their parent.
ORDER = [
    # For all others; these know nothing of networks.
    "hessdiag.version",
    "hessdiag.optional",
    "hessdiag.labels",
    "hessdiag.docstrings",
    "hessdiag.moved",
    "hessdiag.resumable",
    "hessdiag.progress",
    "hessdiag.output_paths",
    "hessdiag.exit_codes",
    "hessdiag.provenance",
    # From a net and its data to numbers.
    "hessdiag.curvature.containers",
    "hessdiag.curvature.composed",
    "hessdiag.curvature.network",
    "hessdiag.curvature.factors",
    "hessdiag.curvature.products",
    "hessdiag.curvature",
    "hessdiag.spectra.results",
    "hessdiag.spectra",
    # A case is checked as the curvature of its net is prepared, so it comes after curvature;
    # spectra know no cases, examinations do.
    "hessdiag.digests",
    "hessdiag.cases",
    "hessdiag.case_files",
    "hessdiag.examination",
    # From numbers to tables to diagnoses to what people read.
    "hessdiag.features.measures",
    "hessdiag.features",
    "hessdiag.diagnosis",
    "hessdiag.plotting",
    "hessdiag.reporting",
    # Networks with labels: tasks and networks first, then what is made and learned of them.
    "hessdiag.zoo.sources",
    "hessdiag.zoo.tasks",
    "hessdiag.zoo.networks",
    "hessdiag.zoo",
    # It makes small cases of the zoo's networks.
    "hessdiag.testing",
    "hessdiag.evaluation",
    # It watches training; the study takes its measures.
    "hessdiag.monitor",
    "hessdiag.study.statistics",
    "hessdiag.study.tables",
    "hessdiag.study.wording",
    "hessdiag.study.figures",
    "hessdiag.study.page",
    "hessdiag.study",
    "hessdiag.demo",
    "hessdiag.zoo_commands",
    "hessdiag.cli",
    "hessdiag",
]

#: Modules that import what they are given as a string: other people's packages, the classes that a
#: file names, and names of ours that have moved, each when it is asked for.
BY_STRING = {"hessdiag.optional", "hessdiag.case_files._trust", "hessdiag.moved"}

NOT_WRITTEN_OUT = "<a string>"

MOST_FILES = 20
MOST_LINES = 500


class Tree:
    """The modules of a package and what they import, read without running them."""

    def __init__(self, root, name="hessdiag"):
        self.root, self.name = root, name
        self.paths = {}
        for path in sorted((root / name).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            self.paths[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
        self.imports = [
            (module, line, target)
            for module, path in self.paths.items()
            for line, target in imports_of(path, self.package(module), name)
        ]

    def where(self, module, line):
        return f"{self.paths[module].relative_to(self.root)}:{line}"

    def package(self, module):
        """The package in which a module lies directly; a package lies in itself."""
        is_package = self.paths[module].name == "__init__.py"
        return module if is_package else module.rpartition(".")[0]

    def room(self, module):
        """What has a place in the flow: the module's package; itself at the top level."""
        package = self.package(module)
        return module if package == self.name else package

    def module(self, target):
        """The module that holds an imported name."""
        while target not in self.paths and "." in target:
            target = target.rpartition(".")[0]
        return target


def imports_of(path, package, name):
    """Yield line and full name of what a file imports from a package of ours, or reaches in it."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    callers, bound = _bound_names(nodes, package, name)
    for node in nodes:
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = _start(package, node)
            targets = [start if a.name == "*" else f"{start}.{a.name}" for a in node.names]
        elif isinstance(node, ast.Call) and _called(node) in callers:
            targets = [_named_by(node)]
        elif isinstance(node, ast.Attribute):
            targets = _reached_by(node, bound)
        else:
            continue
        for target in targets:
            if target == NOT_WRITTEN_OUT or target.split(".")[0] == name:
                yield node.lineno, target


def _bound_names(nodes, package, name):
    """What imports by a string, by whatever name; and names that imports bind to ours."""
    callers, bound = {"import_module", "__import__", "resolve_name"}, {}
    for node in nodes:
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.split(".")[0] == name:
                    bound[alias.asname or name] = alias.name if alias.asname else name
        elif isinstance(node, ast.ImportFrom):
            start = _start(package, node)
            for alias in node.names:
                if alias.name in callers:
                    callers.add(alias.asname or alias.name)
                elif start.split(".")[0] == name:
                    bound[alias.asname or alias.name] = f"{start}.{alias.name}"
    return callers, bound


def _reached_by(node, bound):
    """The hidden name that attributes of something imported lead to, if any."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or node.id not in bound:
        return []
    target = ".".join([bound[node.id], *reversed(parts)])
    return [target] if owner(target) else []


def _start(package, node):
    """Where the names of an import come from, in full."""
    if not node.level:
        return node.module
    parts = package.split(".")
    parts = parts[: len(parts) - node.level + 1]
    return ".".join([*parts, node.module] if node.module else parts)


def _named_by(node):
    """What a call imports."""
    argument = node.args[0] if node.args else None
    if isinstance(argument, ast.Constant) and not str(argument.value).startswith("."):
        return str(argument.value)
    return NOT_WRITTEN_OUT


def _called(node):
    return getattr(node.func, "attr", getattr(node.func, "id", None))


def owner(target):
    """The package or module that alone may import a name; None where all may."""
    parts = target.split(".")
    for place, part in enumerate(parts):
        if part.startswith("_") and not (part.startswith("__") and part.endswith("__")):
            return ".".join(parts[:place])
    return None


def private_faults(tree):
    """A name with an underscore belongs to the modules beside it."""
    for module, line, target in tree.imports:
        if owner(target) not in {None, tree.package(module)}:
            yield f"{tree.where(module, line)}: {target} is private to another package"


def outside_faults(folder, name="hessdiag"):
    """A file outside of the package, such as a test, reaches into what it mirrors."""
    for path in sorted(folder.rglob("*.py")):
        mirrored = [name, *path.parent.relative_to(folder).parts]
        if len(mirrored) == 1:
            # At the top level a file mirrors the module that it is named after.
            mirrored.append(path.stem.removeprefix("test_"))
        for line, target in imports_of(path, "", name):
            mine = owner(target)
            if mine and mine.split(".")[: len(mirrored)] != mirrored:
                yield f"{path.relative_to(folder.parent)}:{line}: {target} is private"


def string_faults(tree, by_string):
    """What is imported by a string could be anything, unless it is written out."""
    for module, line, target in tree.imports:
        if target == NOT_WRITTEN_OUT and module not in by_string:
            yield f"{tree.where(module, line)}: imports by a string that is not written out"


def flow_faults(tree, order):
    """An import goes to what stands earlier in the order."""
    place = {name: number for number, name in enumerate(order)}
    for room in sorted({tree.room(module) for module in tree.paths} - set(place)):
        yield f"{room} has no place in the order"
    for module, line, target in tree.imports:
        if target == NOT_WRITTEN_OUT:
            continue
        here, there = tree.room(module), tree.room(tree.module(target))
        if {here, there} <= set(place) and place[there] > place[here]:
            yield f"{tree.where(module, line)}: {here} imports {there}, which comes after it"


def circle_faults(tree):
    """No way along imports leads back: between packages, and between modules."""
    rooms, modules = defaultdict(set), defaultdict(set)
    for module, _, target in tree.imports:
        if target == NOT_WRITTEN_OUT:
            continue
        target = tree.module(target)
        modules[module].add(target)
        if tree.room(module) != tree.room(target):
            rooms[tree.room(module)].add(tree.room(target))
    for graph in (rooms, modules):
        for circle in circles(graph):
            yield f"{' and '.join(circle)} import each other"


def circles(graph):
    """Sorted lists of nodes that reach each other."""
    reached = {node: _reached(graph, node) for node in list(graph)}
    found = {
        tuple(sorted(other for other in ends if node in reached.get(other, ())))
        for node, ends in reached.items()
        if node in ends
    }
    return sorted(found)


def _reached(graph, start):
    ends, todo = set(), [start]
    while todo:
        new = graph.get(todo.pop(), set()) - ends
        ends |= new
        todo += new
    return ends


def size_faults(tree):
    """A folder, and a file, that one can take in at a glance."""
    folders = defaultdict(int)
    for path in tree.paths.values():
        folders[path.parent.relative_to(tree.root)] += 1
        n_lines = len(path.read_text().splitlines())
        if n_lines > MOST_LINES:
            yield f"{path.relative_to(tree.root)}: {n_lines} lines, at most {MOST_LINES}"
    for folder, n in folders.items():
        if n > MOST_FILES:
            yield f"{folder}: {n} files, at most {MOST_FILES}"


def faults_of(root, order=ORDER):
    tree = Tree(root)
    return [
        *private_faults(tree),
        *string_faults(tree, BY_STRING),
        *flow_faults(tree, order),
        *circle_faults(tree),
        *size_faults(tree),
    ]


def test_imports_go_one_way():
    faults = faults_of(ROOT)
    assert not faults, "\n".join(faults)


def test_all_imports_are_read():
    tree = Tree(ROOT)
    assert len(tree.paths) > 200
    found = {(module, target) for module, _, target in tree.imports}
    assert ("hessdiag.cases._network_case", "hessdiag.curvature.prepare") in found
    # This one is within a function.
    assert ("hessdiag.cli", "hessdiag.demo.run_demo") in found


def test_tests_reach_only_into_the_package_that_they_mirror():
    here = Path(__file__).parent
    faults = [
        fault
        for folder in (here, here.parent / "benchmarks", here.parent / "examples")
        for fault in outside_faults(folder)
    ]
    assert not faults, "\n".join(faults)


#: A tree without a fault: early is upstream of late, which has a subpackage.
SOUND = {
    "__init__.py": "from hessdiag.late import run\n",
    "early/__init__.py": "from hessdiag.early._one import ONE\n",
    "early/_one.py": "ONE = 1\n",
    "late/__init__.py": "from hessdiag.late._run import run\nfrom hessdiag.late.part import PART\n",
    "late/_run.py": "from hessdiag.early import ONE\nfrom hessdiag.late.part import PART\n",
    "late/part/__init__.py": "from ._part import PART\n",
    "late/part/_part.py": "from hessdiag.early import ONE as PART\n",
    "optional.py": "import importlib\n\n\ndef f(name):\n    importlib.import_module(name)\n",
}
SOUND_ORDER = [
    "hessdiag.optional",
    "hessdiag.early",
    "hessdiag.late.part",
    "hessdiag.late",
    "hessdiag",
]


def plant(folder, **changed):
    """Write the sound tree with some files changed, and read its faults."""
    for name, text in (SOUND | changed).items():
        path = folder / "hessdiag" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return faults_of(folder, SOUND_ORDER)


def test_a_sound_tree_has_no_fault(tmp_path):
    assert plant(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("late/_run.py", "from hessdiag.early._one import ONE"),
        ("late/_run.py", "from hessdiag.early import _one"),
        ("late/_run.py", "import hessdiag.early._one"),
        ("late/_run.py", "from ..early import _one"),
        ("late/_run.py", "from hessdiag.optional import _hidden"),
        ("late/_run.py", "def f():\n    from hessdiag.early._one import ONE\n"),
        ("late/_run.py", "if TYPE_CHECKING:\n    from hessdiag.early._one import ONE\n"),
        ("late/_run.py", "import importlib\nimportlib.import_module('hessdiag.early._one')"),
        (
            "late/_run.py",
            "from importlib import import_module\nimport_module('hessdiag.early._one')",
        ),
        (
            "late/_run.py",
            "from importlib import import_module as load\nload('hessdiag.early._one')",
        ),
        ("late/_run.py", "from hessdiag import early\nONE = early._one.ONE"),
        ("late/_run.py", "import hessdiag.early as e\ne._one.ONE"),
        ("late/_run.py", "import hessdiag.early\nhessdiag.early._one.ONE"),
        # Neither a parent nor a child is the package itself.
        ("late/_run.py", "from hessdiag.late.part._part import PART"),
        ("late/part/_part.py", "from hessdiag.late._other import OTHER"),
    ],
)
def test_private_imports_are_found(tmp_path, name, text):
    faults = plant(tmp_path, **{name: text, "late/_other.py": "OTHER = 1"})
    assert any(name in fault and "private to another" in fault for fault in faults)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("early/_one.py", "from hessdiag.late import run"),
        ("early/_one.py", "def f():\n    import hessdiag.late\n"),
        ("early/_one.py", "def f():\n    __import__('hessdiag.late')\n"),
        ("early/_one.py", "import hessdiag"),
        ("optional.py", "from hessdiag import early"),
        ("late/part/_part.py", "from hessdiag.late import run"),
    ],
)
def test_imports_against_the_flow_are_found(tmp_path, name, text):
    faults = plant(tmp_path, **{name: text})
    assert any(name in fault and "which comes after it" in fault for fault in faults)


def test_a_package_without_a_place_is_found(tmp_path):
    faults = plant(tmp_path, **{"new/__init__.py": ""})
    assert faults == ["hessdiag.new has no place in the order"]


def test_circles_between_packages_are_found(tmp_path):
    text = "def f():\n    from hessdiag.late.part import PART\n"
    faults = plant(tmp_path, **{"early/_two.py": text})
    assert "hessdiag.early and hessdiag.late.part import each other" in faults


def test_circles_of_three_are_found():
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}
    assert circles(graph) == [("a", "b", "c")]


def test_circles_between_modules_are_found(tmp_path):
    two = "from hessdiag.early import ONE"
    faults = plant(
        tmp_path,
        **{"early/__init__.py": "from hessdiag.early._two import ONE"} | {"early/_two.py": two},
    )
    assert faults == ["hessdiag.early and hessdiag.early._two import each other"]


def test_strings_that_are_not_written_out_are_found(tmp_path):
    text = "import importlib\n\n\ndef f(name):\n    importlib.import_module(name)\n"
    faults = plant(tmp_path, **{"late/_run.py": text})
    assert faults == ["hessdiag/late/_run.py:5: imports by a string that is not written out"]


@pytest.mark.parametrize(
    ("name", "target", "is_fault"),
    [
        ("late/test_run.py", "hessdiag.late._run", False),
        ("late/test_run.py", "hessdiag.late.part._part", False),
        ("late/part/test_part.py", "hessdiag.late.part._part", False),
        ("late/part/test_part.py", "hessdiag.late._run", True),
        ("late/test_run.py", "hessdiag.early._one", True),
        ("test_all.py", "hessdiag.early._one", True),
        ("test_all.py", "hessdiag.early", False),
        ("test_early.py", "hessdiag.early._one", False),
    ],
)
def test_tests_that_reach_elsewhere_are_found(tmp_path, name, target, is_fault):
    path = tmp_path / "tests" / name
    path.parent.mkdir(parents=True)
    path.write_text(f"import {target}\n")
    faults = [f"tests/{name}:1: {target} is private"] if is_fault else []
    assert list(outside_faults(tmp_path / "tests")) == faults


def test_large_folders_and_files_are_found(tmp_path):
    files = {f"early/_m{number}.py": "" for number in range(MOST_FILES)}
    faults = plant(tmp_path, **files, **{"late/_run.py": "\n" * (MOST_LINES + 1)})
    assert faults == [
        f"hessdiag/late/_run.py: {MOST_LINES + 1} lines, at most {MOST_LINES}",
        f"hessdiag/early: {MOST_FILES + 2} files, at most {MOST_FILES}",
    ]
