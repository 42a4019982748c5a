"""Recurrent layers step by step, so that what their weights multiply can be seen.

With ``a_t = W_ih x_t + b_ih`` and ``g_t = W_hh h_{t-1} + b_hh``, torch's own equations give the
next state from a_t, g_t and the last one. Zeros are added to a_t and g_t, in which outputs are then
differentiated: the Jacobian in W_ih is the sum over t of these derivatives times x_t, and so on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from hessdiag.curvature.factors._factor import Factor
from hessdiag.curvature.factors._joint_factor import JointFactor
from hessdiag.curvature.factors._outer_factor import OuterFactor

KINDS = (nn.RNN, nn.GRU, nn.LSTM)


class RecurrentCall:
    """One call of a recurrent layer, worked out again step by step.

    Parameters
    ----------
    module : torch.nn.RNN, torch.nn.GRU or torch.nn.LSTM
        The layer.
    pieces : sequence of str
        Its own names of the parameters that are wanted, in their order.

    Attributes
    ----------
    sent : list of Tensor
        Zeros (n, T, width) that were added to what weights give, to differentiate in.
    """

    def __init__(self, module: nn.RNNBase, pieces: list[str]) -> None:
        self.module, self.pieces = module, pieces
        self.sent: list[torch.Tensor] = []
        self._received: list[torch.Tensor] = []
        self._places: dict[str, int] = {}
        self._sweeps: list[list[torch.Tensor]] = []

    def run(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any
    ) -> tuple[Any, Any] | None:
        """Return what the layer sends, step by step; None where its call is of another form.

        Parameters
        ----------
        args, kwargs : tuple, dict
            What it was called with.
        output : tuple
            What it sent, which is compared with.

        Returns
        -------
        tuple or None
            The same, with a graph that goes through `sent`.
        """
        x = args[0] if args else kwargs.get("input")
        state = args[1] if len(args) > 1 else kwargs.get("hx")
        if not isinstance(x, torch.Tensor) or x.ndim != 3:
            return None
        found = self._run(x if self.module.batch_first else x.transpose(0, 1), state)
        rounding = 1e-9 if x.dtype == torch.float64 else 1e-4
        for own, other in zip(_tensors(found), _tensors(output), strict=True):
            if own.shape != other.shape or not torch.allclose(own, other, rounding, rounding):
                return None
        return found

    def _run(self, x, state):
        """Run all layers and directions on x (n, T, I)."""
        module, n = self.module, len(x)
        directions = 2 if module.bidirectional else 1
        is_lstm = isinstance(module, nn.LSTM)
        hidden, cells = state if is_lstm and state is not None else (state, None)
        last = []
        for layer in range(module.num_layers):
            outputs = []
            for direction in range(directions):
                place = layer * directions + direction
                suffix = f"_l{layer}" + ("_reverse" if direction else "")
                width = module.proj_size or module.hidden_size
                h = x.new_zeros(n, width) if hidden is None else hidden[place]
                c = x.new_zeros(n, module.hidden_size) if cells is None else cells[place]
                steps = x.flip(1) if direction else x
                sent, h, c = self._run_direction(steps, h, c, suffix)
                outputs.append(sent.flip(1) if direction else sent)
                last.append((h, c))
            x = torch.cat(outputs, dim=2)
        h, c = (torch.stack(parts) for parts in zip(*last, strict=True))
        sent = x if module.batch_first else x.transpose(0, 1)
        return sent, ((h, c) if is_lstm else h)

    def _run_direction(self, x, h, c, suffix):
        """Run one direction of one layer; return what it sends, and its last states."""
        module, n_steps = self.module, x.shape[1]
        weight, recurrent = (getattr(module, f"weight_{k}{suffix}") for k in ("ih", "hh"))
        a = x @ weight.T
        gates = a.new_zeros(a.shape).requires_grad_()
        inner = a.new_zeros(a.shape).requires_grad_()
        a = a + gates
        shift = 0.0
        if module.bias:
            a = a + getattr(module, f"bias_ih{suffix}")
            shift = getattr(module, f"bias_hh{suffix}")
        projection = getattr(module, f"weight_hr{suffix}", None) if module.proj_size else None
        outer = a.new_zeros(len(x), n_steps, module.proj_size).requires_grad_()
        before, narrowed, sent = [], [], []
        for t in range(n_steps):
            before.append(h)
            g = h @ recurrent.T + shift + inner[:, t]
            h, c = self._step(a[:, t], g, h, c)
            if projection is not None:
                narrowed.append(h)
                h = h @ projection.T + outer[:, t]
            sent.append(h)
        self._note(gates, x, f"weight_ih{suffix}", f"bias_ih{suffix}")
        self._note(inner, torch.stack(before, 1), f"weight_hh{suffix}", f"bias_hh{suffix}")
        if projection is not None:
            self._note(outer, torch.stack(narrowed, 1), f"weight_hr{suffix}")
        return torch.stack(sent, dim=1), h, c

    def _step(self, a, g, h, c):
        """Return the next state, by torch's own equations."""
        if isinstance(self.module, nn.LSTM):
            i, f, u, o = (a + g).chunk(4, dim=1)
            c = f.sigmoid() * c + i.sigmoid() * u.tanh()
            return o.sigmoid() * c.tanh(), c
        if isinstance(self.module, nn.GRU):
            (a_r, a_z, a_n), (g_r, g_z, g_n) = a.chunk(3, dim=1), g.chunk(3, dim=1)
            z = (a_z + g_z).sigmoid()
            new = (a_n + (a_r + g_r).sigmoid() * g_n).tanh()
            return (1 - z) * new + z * h, c
        total = a + g
        return (total.tanh() if self.module.nonlinearity == "tanh" else total.relu()), c

    def _note(self, zeros, received, *names):
        """Keep what parameters of these names multiplied, and the zeros that were added to it."""
        for name in names:
            self._places[name] = len(self.sent)
        self.sent.append(zeros)
        self._received.append(received.detach())
        self._sweeps.append([])

    def add(self, shares: Sequence[torch.Tensor | None]) -> None:
        """Take the next column's derivatives in all that was sent; None stands for zeros.

        Parameters
        ----------
        shares : sequence of (Tensor or None)
            One for each of `sent`.
        """
        for sweeps, zeros, share in zip(self._sweeps, self.sent, shares, strict=True):
            sweeps.append(torch.zeros_like(zeros) if share is None else share)

    def factor(self) -> Factor | None:
        """Build the factor of the parameters that are wanted.

        Returns
        -------
        Factor or None
            Their factors side by side; None where there are others than the layer's own.
        """
        if any(piece not in self._places for piece in self.pieces):
            return None
        stacked = [torch.stack(sweeps, dim=1)[:, :, None] for sweeps in self._sweeps]
        parts = []
        for piece in self.pieces:
            place = self._places[piece]
            inputs = self._received[place][:, None]
            kind = "weight" if piece.startswith("weight") else "bias"
            parts.append(OuterFactor(inputs, stacked[place], (kind,)))
        return JointFactor(parts)


def _tensors(output):
    """List the tensors of what a recurrent layer sends."""
    sent, state = output
    return [sent, *(state if isinstance(state, tuple) else (state,))]


def is_recurrent(module: nn.Module | None, pieces: list[str]) -> bool:
    """Say whether a module is a recurrent layer whose equations are torch's own.

    Parameters
    ----------
    module : torch.nn.Module or None
        A module.
    pieces : sequence of str
        Its own names of the parameters that are wanted.

    Returns
    -------
    bool
        Whether `RecurrentCall` may be tried.
    """
    return (
        isinstance(module, KINDS)
        and any(type(module).forward is kind.forward for kind in KINDS)
        and all(name in module._parameters for name in pieces)
    )
