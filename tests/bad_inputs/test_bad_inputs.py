"""Bad inputs by the table: each error says what was expected, what was found, and what to do."""

import copy
from pathlib import Path

import pytest
import torch
from situations import tables_in

from hessdiag.testing import state_changes, surroundings_state

BAD = tables_in(Path(__file__).parent, "BAD")


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name):
    bad = BAD[name]
    nets = bad.nets() if bad.nets else []
    before = [copy.deepcopy(net.module_.state_dict()) for net in nets]
    surroundings = surroundings_state(numpy_generator=False)
    with pytest.raises(bad.error) as caught:
        bad.bring()
    message = str(caught.value)
    assert "xpected" in message, f"does not say what was expected: {message}"
    assert "found" in message, f"does not say what was found: {message}"
    sentences = [s for s in message.replace(".\n", ". ").split(". ") if s.strip()]
    assert len(sentences) >= 2, f"does not say what to do: {message}"
    for word in bad.words:
        assert word in message, f"{word!r} is not in: {message}"
    for net, state in zip(nets, before):
        for key, value in net.module_.state_dict().items():
            assert torch.equal(value.nan_to_num(7.0), state[key].nan_to_num(7.0)), key
    assert state_changes(surroundings, surroundings_state(numpy_generator=False)) == []


def test_there_are_many():
    assert len(BAD) >= 150
