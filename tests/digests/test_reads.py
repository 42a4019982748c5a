"""Networks whose code differs in one number, wherever that stands: never one digest for both."""

import importlib
import itertools
import sys

import numpy as np
import pytest
import torch
from skorch import NeuralNetRegressor

from hessdiag.digests import NotDigestibleError, content_digest

X = np.random.default_rng(0).normal(size=(6, 3)).astype("float32")
Y = np.ones((6, 1), dtype="float32")

HEAD = "import contextlib, functools, inspect, operator, os, pathlib, sys\nimport numpy, torch\n"
NET = """class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(3, 1)
        self.held = HELD

    @DECORATED
    def forward(self, x):
        x = self.linear(x)
        BODY
"""


def source(top="", body="return SLOPE * x", decorated=None, held="None"):
    net = NET.replace("HELD", held).replace("BODY", body)
    decorator = f"    @{decorated}\n" if decorated else ""
    return HEAD + top + "\n" + net.replace("    @DECORATED\n", decorator)


OPS = {"NAME_ops.py": "def scale(x):\n    return SLOPE * x\n"}
PACKAGE = {
    "NAME/__init__.py": "",
    "NAME/ops.py": OPS["NAME_ops.py"],
    "NAME/sub/__init__.py": "",
    "NAME/sub/deep.py": OPS["NAME_ops.py"],
}

# Digests differ, or there is none.
SEEN = {
    "autocast": source(decorated="torch.autocast('cpu', enabled=False)"),
    "no_grad": source(decorated="torch.no_grad()"),
    "enable_grad": source(decorated="torch.enable_grad()"),
    "lru_cache": source("@functools.lru_cache\ndef f(): return SLOPE", "return f() * x"),
    "two decorators": source(
        "@torch.no_grad()\n@torch.enable_grad()\ndef f(x): return SLOPE * x", "return f(x)"
    ),
    "compiler.disable": source(
        "@torch.compiler.disable\ndef f(x): return SLOPE * x", "return f(x)"
    ),
    "singledispatch": source(
        "@functools.singledispatch\ndef f(x): return SLOPE * x", "return f(x)"
    ),
    "singledispatch for a class": source(
        "@functools.singledispatch\ndef f(x): return x\n"
        "@f.register\ndef g(x: torch.Tensor): return SLOPE * x",
        "return f(x)",
    ),
    "singledispatchmethod": source(
        "class C:\n    @functools.singledispatchmethod\n    def f(self, x): return SLOPE * x",
        "return C().f(x)",
    ),
    "partialmethod": source(
        "class C:\n    def f(self, s, x): return s * x\n    g = functools.partialmethod(f, SLOPE)",
        "return C().g(x)",
    ),
    "contextmanager": source(
        "@contextlib.contextmanager\ndef f(): yield SLOPE",
        "with f() as slope:\n            return slope * x",
    ),
    "custom_fwd": source(
        "class F(torch.autograd.Function):\n    @staticmethod\n"
        "    @torch.amp.custom_fwd(device_type='cpu')\n"
        "    def forward(ctx, x): return SLOPE * x\n    @staticmethod\n"
        "    def backward(ctx, g): return g",
        "return F.apply(x)",
    ),
    "metaclass": source(
        "class M(type):\n    @property\n    def s(cls): return SLOPE\nclass C(metaclass=M): pass",
        "return C.s * x",
    ),
    "class with the name of an installed one": source(
        "class C: s = SLOPE\nC.__module__ = 'torch.nn.modules.linear'", "return C.s * x"
    ),
    "module by its full name": PACKAGE
    | {"NAME/net.py": source("import NAME.ops", "return NAME.ops.scale(x)")},
    "deep module by its full name": PACKAGE
    | {"NAME/net.py": source("import NAME.sub.deep", "return NAME.sub.deep.scale(x)")},
    "module within a package": PACKAGE
    | {"NAME/net.py": source("import NAME.sub.deep as d", "return d.scale(x)")},
    "import within a function": OPS
    | {"NAME.py": source("import NAME_ops", "import NAME_ops\n        return NAME_ops.scale(x)")},
    "names imported within a function": OPS
    | {"NAME.py": source("import NAME_ops", "from NAME_ops import scale\n        return scale(x)")},
    "relative import within a function": PACKAGE
    | {
        "NAME/net.py": source(
            "from . import ops", "from .ops import scale\n        return scale(x)"
        )
    },
    "relative import of a module within a function": PACKAGE
    | {
        "NAME/net.py": source("from . import ops", "from . import ops\n        return ops.scale(x)")
    },
    "module by getattr": OPS
    | {"NAME.py": source("import NAME_ops", "return getattr(NAME_ops, 'sca' + 'le')(x)")},
    "module under another name": OPS
    | {"NAME.py": source("import NAME_ops", "m = NAME_ops\n        return m.scale(x)")},
    "dict of a module": OPS
    | {"NAME.py": source("import NAME_ops", "return NAME_ops.__dict__['scale'](x)")},
    "vars of a module": OPS
    | {"NAME.py": source("import NAME_ops", "return vars(NAME_ops)['scale'](x)")},
    "attrgetter of a module": OPS
    | {"NAME.py": source("import NAME_ops", "return operator.attrgetter('scale')(NAME_ops)(x)")},
    "module that is held": OPS
    | {"NAME.py": source("import NAME_ops", "return self.held.scale(x)", held="NAME_ops")},
    "module in a list": OPS
    | {"NAME.py": source("import NAME_ops", "return self.held[0].scale(x)", held="[NAME_ops]")},
    "module as a default": OPS
    | {
        "NAME.py": source("import NAME_ops\ndef f(x, m=NAME_ops): return m.scale(x)", "return f(x)")
    },
    "module in a closure": OPS
    | {
        "NAME.py": source(
            "import NAME_ops\ndef make(m): return lambda x: m.scale(x)\nf = make(NAME_ops)",
            "return f(x)",
        )
    },
    "name of an installed module": source("torch.my_slope = SLOPE", "return torch.my_slope * x"),
    "object on an installed module": source(
        "class C: s = SLOPE\ntorch.nn.functional.my_slope = C()",
        "return torch.nn.functional.my_slope.s * x",
    ),
    "name among the built in": source(
        "import builtins\nbuiltins.my_slope = SLOPE", "return my_slope * x"
    ),
}

# There is no digest.
UNSEEN = {
    "globals": source("S = SLOPE", "return globals()['S'] * x"),
    "globals of a function": source("S = SLOPE\ndef f(): pass", "return f.__globals__['S'] * x"),
    "eval": source("S = SLOPE", "return eval('S') * x"),
    "exec": source("S = SLOPE", "d = {}\n        exec('s = S', d, d)\n        return d['s'] * x"),
    "built-in function under another name": source("look = globals", "return look()['S'] * x"),
    "frame": source("S = SLOPE", "return sys._getframe().f_globals['S'] * x"),
    "inspect": source("S = SLOPE", "return inspect.currentframe().f_globals['S'] * x"),
    "own entry among the modules": source(
        "S = SLOPE", "return getattr(sys.modules[__name__], 'S') * x"
    ),
    "modules under another name": source(
        "from sys import modules as m\nS = SLOPE", "return m[__name__].S * x"
    ),
    "import_module": OPS
    | {
        "NAME.py": source("import importlib", "return importlib.import_module('NAME_ops').scale(x)")
    },
    "__import__": OPS | {"NAME.py": source("", "return __import__('NAME_ops').scale(x)")},
    "module that is not there yet": OPS
    | {"NAME.py": source("", "import NAME_ops\n        return NAME_ops.scale(x)")},
    "environ": source("", "return float(os.environ['S']) * x"),
    "environ, imported": source("from os import environ", "return float(environ['S']) * x"),
    "environ, imported within a function": source(
        "", "from os import environ\n        return float(environ['S']) * x"
    ),
    "os, imported within a function": source(
        "", "import os as o\n        return float(o.environ['S']) * x"
    ),
    "getenv": source("", "return float(os.getenv('S')) * x"),
    "getenv as a default": source("def f(get=os.getenv): return get('S')", "return f() * x"),
    "os by getattr": source("", "return float(getattr(os, 'environ')['S']) * x"),
    "os that is held": source("", "return float(self.held.environ['S']) * x", held="os"),
    "arguments": source("", "return float(sys.argv[1]) * x"),
    "file": source("", "return float(open('slope').read()) * x"),
    "file by its path": source(
        "P = pathlib.PurePath('slope')", "return float(pathlib.Path(P).read_text()) * x"
    ),
    "file of numbers": source("", "return float(numpy.load('slope.npy')) * x"),
    "file of tensors": source("", "return torch.load('slope.pt') * x"),
    "helper that reads a file": source("def f(): return float(open('s').read())", "return f() * x"),
    "made within forward": source(
        "class C:\n    def __init__(self): self.s = float(open('s').read())", "return C().s * x"
    ),
    "module that makes names up": {"NAME_ops.py": "def __getattr__(name):\n    return SLOPE\n"}
    | {"NAME.py": source("import NAME_ops", "return NAME_ops.foo * x")},
    "function of numpy made of one's own": source(
        "f = numpy.frompyfunc(lambda a: SLOPE * a, 1, 1)", "return x * float(f(1.0))"
    ),
    "operator of one's own": source(
        "lib = torch.library.Library('NAME_lib', 'DEF')\nlib.define('f(Tensor x) -> Tensor')\n"
        "lib.impl('f', lambda x: SLOPE * x, 'CPU')\nop = torch.ops.NAME_lib.f",
        "return op(x)",
    ),
    "operator of one's own by its name": source(
        "lib = torch.library.Library('NAME_lib', 'DEF')\nlib.define('f(Tensor x) -> Tensor')\n"
        "lib.impl('f', lambda x: SLOPE * x, 'CPU')",
        "return torch.ops.NAME_lib.f(x)",
    ),
    "operator of one's own in a list": source(
        "lib = torch.library.Library('NAME_lib', 'DEF')\nlib.define('f(Tensor x) -> Tensor')\n"
        "lib.impl('f', lambda x: SLOPE * x, 'CPU')",
        "return self.held[0](x)",
        held="[torch.ops.NAME_lib.f.default]",
    ),
}

# What training and looking at a network does is no part of what it computes.
READ_IN_MAKING = {
    "file read when it is made": source(
        "", "return SLOPE * x", held="os.environ.get('HESSDIAG_NOT_SET')"
    ),
}

_counter = itertools.count()


def digest(module):
    return content_digest(NeuralNetRegressor(module, train_split=None).initialize(), X, Y)


@pytest.fixture
def digest_of(tmp_path, monkeypatch):
    """A function that digests a network of some files, which is not run."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("S", "1.0")
    name = f"own_files_{next(_counter)}"

    def digest_of(files, slope):
        files = files if isinstance(files, dict) else {"NAME.py": files}
        for path, text in files.items():
            path = tmp_path / path.replace("NAME", name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace("NAME", name).replace("SLOPE", slope))
        _forget(name)
        importlib.invalidate_caches()
        module = name + (".net" if any(p.startswith("NAME/") for p in files) else "")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            net = importlib.import_module(module).Net()
        return digest(net)

    yield digest_of
    _forget(name)
    for place, key in ((torch, "my_slope"), (torch.nn.functional, "my_slope")):
        vars(place).pop(key, None)
    vars(importlib.import_module("builtins")).pop("my_slope", None)


def _forget(name):
    for key in [key for key in sys.modules if key.startswith(name)]:
        del sys.modules[key]


@pytest.mark.parametrize("what", SEEN)
def test_code_that_differs_has_another_digest(what, digest_of):
    first = digest_of(SEEN[what], "1.0")
    assert digest_of(SEEN[what], "1.0") == first
    assert digest_of(SEEN[what], "3.0") != first


@pytest.mark.parametrize("what", UNSEEN)
def test_code_that_reads_what_cannot_be_seen_has_none(what, digest_of):
    with pytest.raises(NotDigestibleError, match=r"Expected .*, found .*\. (Read|Keep)"):
        digest_of(UNSEEN[what], "1.0")


@pytest.mark.parametrize("what", READ_IN_MAKING)
def test_what_is_read_in_making_a_network_is_on_it(what, digest_of):
    assert len(digest_of(READ_IN_MAKING[what], "1.0")) == 32


@pytest.mark.parametrize("what", ["autocast", "no_grad", "singledispatch", "compiler.disable"])
def test_decorators_that_remember_keep_their_digest(what, digest_of):
    digest_of(SEEN[what], "1.0")
    name = next(key for key in sys.modules if key.startswith("own_files_"))
    net = sys.modules[name].Net()
    before = digest(net)
    net(torch.tensor(X))
    assert digest(net) == before
