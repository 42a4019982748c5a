"""A layer's matrix as an operator: by its factor, by what it sends, or by passes through the net.

Operators do not change. Each has its `block`, the `size` of the vectors that it multiplies, and
`products`: vectors (k, size) to (k, size). Those of the same `source` take less time together.
"""

from __future__ import annotations

from hessdiag.curvature.factors import form_gram, gram_pays


class FactorOperator:
    """The Gauss-Newton matrix ``J' B diag(s) B' J`` of a layer, from the factor of B' J."""

    source = None

    def __init__(self, block, factor, signs):
        self.block = block
        self.factor = factor
        self.signs = signs
        self.size = block.n_params

    @property
    def n_rows(self):
        """Count the rows of B' J."""
        return self.factor.n_samples * self.factor.n_outputs

    def products(self, vectors):
        """Multiply vectors (k, p)."""
        return self.factor.gauss_newton(vectors, self.signs)

    def among_outputs(self):
        """Return the operator of B' J J' B, which has the same nonzero eigenvalues."""
        return GramOperator(self.block, self.factor)

    def condensed(self, n_products):
        """Return the same operator in the form in which many products cost least."""
        return FactorOperator(self.block, self.factor.condensed(), self.signs)


class GramOperator:
    """The matrix B' J J' B (N R, N R) of a layer whose loss is convex."""

    source = None

    def __init__(self, block, factor):
        self.block = block
        self.factor = factor
        self.size = factor.n_samples * factor.n_outputs

    def products(self, vectors):
        """Multiply vectors (k, N R)."""
        outputs = vectors.view(len(vectors), self.factor.n_samples, self.factor.n_outputs)
        return self.factor.gram_products(outputs).reshape(len(vectors), -1)

    def condensed(self, n_products):
        """Return the same operator in the form in which many products cost least."""
        # Only the Gram matrix matters, which fewer parameters may have too.
        factor = self.factor.narrowed()
        if not factor.prefers_dense and gram_pays(factor, n_products):
            return GramOperator(self.block, form_gram(factor))
        return GramOperator(self.block, factor.condensed())


class LinearHessianOperator:
    """The Hessian of a linear layer, from the Hessians of what it sends, sample by sample."""

    source = None

    def __init__(self, block, hessian):
        self.block = block
        self.hessian = hessian
        self.size = block.n_params

    def products(self, vectors):
        """Multiply vectors (k, p)."""
        return self.hessian.products(vectors)

    def dense(self, n_vectors):
        """Form the matrix (p, p)."""
        return self.hessian.dense()

    def condensed(self, n_products):
        """Return the operator: there is no cheaper form."""
        return self


class NetOperator:
    """A layer's matrix by passes through the net; `source` records graphs that layers share."""

    def __init__(self, block, source):
        self.block = block
        self.source = source
        self.size = block.n_params

    def products(self, vectors):
        """Multiply vectors (k, p)."""
        return self.source.products({self.block.name: vectors})[self.block.name]

    def dense(self, n_vectors):
        """Form the matrix (p, p), so many columns at once."""
        return self.source.dense(self.block.name, n_vectors)

    def condensed(self, n_products):
        """Return the operator: there is no cheaper form."""
        return self


def joint_products(operators, vectors):
    """Return {name: A v} for {name: v}, those of one source in one call of it."""
    images, shared = {}, {}
    for name, v in vectors.items():
        operator = operators[name]
        if operator.source is None:
            images[name] = operator.products(v)
        else:
            shared.setdefault(id(operator.source), (operator.source, {}))[1][name] = v
    for source, some in shared.values():
        images |= source.products(some)
    return images
