"""The study's page: its findings in words, beside figures and tables."""

from hessdiag.study.page._write import write_page

__all__ = ["write_page"]
