"""Jacobians of all outputs with respect to one layer's parameters, in factored form.

A factor stands for J of shape (N, D, p): N samples, D outputs each, p parameters. It answers for
``gram()`` (N D, N D), ``matvec`` (k, p) -> (k, N, D), ``rmatvec`` (k, N, D) -> (k, p), for both
after each other as ``gauss_newton`` (k, p) -> (k, p), and for ``dense()``, without ever forming
more than it needs.
"""

from __future__ import annotations

import torch


class Factor:
    """What factors have in common, unless they know better."""

    n_samples: int
    n_outputs: int
    n_params: int
    dtype: torch.dtype

    def gauss_newton(self, vectors, signs=None):
        """Return J' diag(signs) J v for vectors (k, p) as (k, p).

        Parameters
        ----------
        vectors : Tensor of shape (k, p)
            Vectors in the parameters.
        signs : Tensor of shape (N, D) or None, default=None
            Signs of the rows of J; None where all are positive.

        Returns
        -------
        Tensor of shape (k, p)
            Their images.
        """
        image = self.matvec(vectors)
        return self.rmatvec(image if signs is None else image * signs.to(image.dtype))

    def gram_products(self, outputs):
        """Return J J' u for outputs (k, N, D) as (k, N, D).

        Parameters
        ----------
        outputs : Tensor of shape (k, N, D)
            Vectors in the outputs.

        Returns
        -------
        Tensor of shape (k, N, D)
            Their images.
        """
        return self.matvec(self.rmatvec(outputs))

    def condensed(self):
        """Return the form in which products cost least: this one.

        Returns
        -------
        Factor
            A factor of the same Jacobian.
        """
        return self

    def narrowed(self):
        """Return a factor with the same Gram matrix and fewer parameters: this one.

        Returns
        -------
        Factor
            A factor of a Jacobian whose rows have the same inner products.
        """
        return self

    @property
    def is_finite(self):
        """Say whether all that is held is finite, and not so large that its sums are not."""
        tensors = [value for value in vars(self).values() if isinstance(value, torch.Tensor)]
        return all(bool(torch.isfinite(tensor.sum())) for tensor in tensors)
