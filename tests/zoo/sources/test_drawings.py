"""Letters are drawn in the middle; graphs are all there are."""

import numpy as np
import pytest

from hessdiag.zoo.sources import FONTS, draw_letters, read_graphs


def test_letters_are_whole_and_in_the_middle():
    pytest.importorskip("PIL")
    pytest.importorskip("matplotlib")
    images, what = draw_letters("aB", 18, (10, 12))
    assert images.shape == (2 * 2 * len(FONTS), 18, 18)
    assert len(set(what)) == len(what) == len(images)
    assert {item[1:4] for item in what} == set(FONTS)
    for image in images:
        rows, columns = np.nonzero(image)
        # The margins on either side differ by two pixels at most: letters end within pixels.
        for places in (rows, columns):
            assert places.min() > 0
            assert abs(places.min() - (17 - places.max())) <= 2


def test_kinds_of_letters_differ_as_they_should():
    images, what = draw_letters("Il", 18, (13,))
    ink = {item: image.sum() for item, image in zip(what, images)}
    for letter, family, weight, slant, size in what:
        if weight == "bold":
            assert (
                ink[letter, family, weight, slant, size]
                > ink[letter, family, "regular", slant, size]
            )


def test_graphs_are_all_of_five_to_seven_nodes():
    pytest.importorskip("networkx")
    graphs = read_graphs()
    counts = {n: sum(len(graph) == n for graph in graphs) for n in (5, 6, 7)}
    # How many there are of each size (OEIS A000088).
    assert counts == {5: 34, 6: 156, 7: 1044}
    assert all((graph == graph.T).all() and not graph.diagonal().any() for graph in graphs)
    # None is another one in disguise: of graphs that share degrees and the spectrum, and those of
    # their complements, these are few.
    keys = {
        (
            len(graph),
            tuple(np.sort(graph.sum(0))),
            tuple(np.round(np.linalg.eigvalsh(graph.astype(float)), 6)),
            tuple(np.round(np.linalg.eigvalsh((~graph).astype(float)), 6)),
        )
        for graph in graphs
    }
    assert len(keys) >= len(graphs) - 40
