"""What one forward pass notes: the order of calls, widths and entries of what modules send."""

import torch
from parts import copy_of
from torch import nn

from hessdiag.curvature.network import Chunk, entries_of_graph, run_and_note

N = 4


class Network(nn.Module):
    """Calls in another order than it registers, one layer twice, one never."""

    def __init__(self):
        super().__init__()
        self.head, self.unused = nn.Linear(6, 2), nn.Linear(6, 6)
        self.shared, self.convolve = nn.Linear(5, 5), nn.Conv1d(3, 6, 2)
        self.cell = nn.LSTM(4, 4, batch_first=True)

    def forward(self, x):
        x = self.shared(torch.tanh(self.shared(x)))
        x = self.convolve(x)
        x, _ = self.cell(x)
        return self.head(x.sum(dim=2))


def run():
    torch.manual_seed(0)
    copy = copy_of(Network())
    chunk = Chunk(torch.randn(N, 3, 5, dtype=torch.float64), None, N)
    return copy, chunk, run_and_note(copy, chunk)


def test_calls_are_noted_in_their_order():
    copy, chunk, (outputs, order, widths, entries) = run()
    assert order == ["", "shared", "convolve", "cell", "head"]
    assert not outputs.requires_grad
    torch.testing.assert_close(outputs, copy(chunk.X).detach())
    # Features stand last, but for convolutions.
    assert widths == {"": 2, "shared": 5, "convolve": 6, "cell": 4, "head": 2}
    # The layer that is called twice sends twice as much; what a cell sends first counts.
    assert entries == {"shared": 2 * 15, "convolve": 24, "cell": 24, "head": 2, "": 2}


def test_a_graph_keeps_what_leaves_send():
    copy, chunk, _ = run()
    # A cell sends its last states, too.
    expected = 2 * N * 15 + N * 24 + (N * 24 + 2 * N * 4) + N * 2
    assert entries_of_graph(copy, chunk) == expected


def test_what_is_sent_in_a_tree_counts_by_its_first():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.left, self.right = nn.Linear(3, 2), nn.Linear(3, 7)

        def forward(self, x):
            return {"left": self.left(x), "right": self.right(x)}

    copy = copy_of(Pair())
    chunk = Chunk(torch.ones(N, 3, dtype=torch.float64), None, N)
    outputs, order, widths, _ = run_and_note(copy, chunk)
    assert set(outputs) == {"left", "right"}
    assert order == ["", "left", "right"]
    assert widths[""] == 2
    assert entries_of_graph(copy, chunk) == N * 9
