"""A network and its data as a folder: parameters as safetensors, the rest as JSON and arrays."""

from hessdiag.case_files._load import load_case
from hessdiag.case_files._save import save_case
from hessdiag.case_files._trust import untrusted_classes

__all__ = ["load_case", "save_case", "untrusted_classes"]
