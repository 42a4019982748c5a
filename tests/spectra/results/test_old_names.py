"""Names of results that have changed are known for one release more."""

import pickle

import pytest

from hessdiag.spectra import LayerTrace, Spectrum

SPECTRUM = Spectrum(4, False, [0.0, 2.0], [0.5, 0.5], 4.0, 0.25)


@pytest.mark.parametrize("result", [SPECTRUM, LayerTrace(4, 4.0, 0.25, 3)])
def test_the_error_of_a_trace(result):
    with pytest.warns(FutureWarning, match="trace_error"):
        assert result.trace_se == result.trace_error == 0.25


def test_spectra_that_were_pickled_by_an_older_release():
    state = dict(vars(SPECTRUM))
    state["trace_se"] = state.pop("trace_error")
    found = Spectrum.__new__(Spectrum)
    found.__setstate__(state)
    assert found.trace_error == 0.25
    assert pickle.loads(pickle.dumps(SPECTRUM)).trace_error == 0.25
