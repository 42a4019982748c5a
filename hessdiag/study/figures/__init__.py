"""The study's figures: what each shows, how it looks, how it is written."""

from hessdiag.study.figures._inline import inline_svg
from hessdiag.study.figures._study_figure import StudyFigure
from hessdiag.study.figures._write import draw_figures, write_figures

__all__ = ["StudyFigure", "draw_figures", "inline_svg", "write_figures"]
