"""The page of the documentation lists every measure."""

from docutils.core import publish_doctree
from docutils.nodes import literal_block, make_id, section, title

from hessdiag.features.measures import FAMILIES, MEASURES, measures_page


def test_page_lists_every_measure():
    page = measures_page()
    for measure in MEASURES:
        assert f"\n``{measure.name}``\n" in page
        assert measure.formula in " ".join(page.split())
        assert f"{measure.words[1:]}. High means: {measure.high}." in page
        assert f"\n.. _{measure.label}:\n" in page
        assert measure.docs == f"measures.html#{make_id(measure.label)}"
        assert measure.reference is None or measure.reference in page


def test_page_is_valid_and_has_a_section_for_each_family():
    strict = {"report_level": 1, "halt_level": 2, "warning_stream": None}
    document = publish_doctree(measures_page(), settings_overrides=strict)
    titles = [node.next_node(title).astext() for node in document.findall(section)]
    assert [text.partition(":")[0] for text in titles if ":" in text] == list(FAMILIES)
    blocks = [node.astext() for node in document.findall(literal_block)]
    assert [block.replace("\n", " ") for block in blocks] == [m.formula for m in MEASURES]
    assert max(len(line) for block in blocks for line in block.splitlines()) <= 80
