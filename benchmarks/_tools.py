"""hessdiag and its peers, each used in its own best documented way, behind one interface."""

from __future__ import annotations

import contextlib
import importlib.metadata
from unittest import mock

import torch

__all__ = ["TOOLS", "Curvlinops", "Eigenthings", "Hessdiag", "PyHessian"]


class Peer:
    """A tool that treats one layer at a time."""

    distribution = ""
    note = ""
    # Whether it runs as released; one that was mended to run at all is timed beside the others.
    as_released = True

    def __init__(self, workload, n_samples=None):
        self.model = workload.model
        self.criterion = workload.criterion
        self.data = workload.tensors(n_samples)
        self.workload = workload

    @classmethod
    def version(cls):
        """Version of the installed distribution."""
        return importlib.metadata.version(cls.distribution)

    def parameters(self, layer):
        """List the layer's own trainable parameters."""
        module = self.model.get_submodule(layer)
        return [p for p in module.parameters(recurse=False) if p.requires_grad]

    @contextlib.contextmanager
    def only(self, layer):
        """Let only one layer's parameters require gradients, so that no more is recorded."""
        chosen = {id(p) for p in self.parameters(layer)}
        frozen = [p for p in self.model.parameters() if p.requires_grad and id(p) not in chosen]
        for p in frozen:
            p.requires_grad_(False)
        try:
            yield
        finally:
            for p in frozen:
                p.requires_grad_(True)
            for p in self.model.parameters():
                p.grad = None

    def quadrature(self, layer, n_probes, n_steps, seed):
        """Return Ritz values and weights, each (k, m), of the layer's Hessian."""
        raise NotImplementedError

    def max_eigenvalue(self, layer, n_probes=3, n_steps=30, seed=0):
        """Return the largest Ritz value over all probes."""
        size = sum(p.numel() for p in self.parameters(layer))
        nodes, _ = self.quadrature(layer, n_probes, min(n_steps, size), seed)
        return max(float(torch.as_tensor(row).max()) for row in nodes)

    # Names of its estimators of a trace, the plain one of random signs first.
    trace_methods = ()

    def trace(self, layer, n_products, seed, method):
        """Return an estimate of the trace of the layer's Hessian."""
        raise NotImplementedError

    def prepare(self, layers):
        """Decide, before the clock runs, how the tool is used best."""


class Curvlinops(Peer):
    """HessianLinearOperator of the layer's parameters, under Lanczos on all probes at once.

    Its own Lanczos (`fast_lanczos`) takes one vector at a time and does not reorthogonalize; on its
    products of several vectors a Lanczos with full reorthogonalization is run here. Where products
    one by one are faster than a batched one on the first layer, they are used instead.
    """

    distribution = "curvlinops-for-pytorch"
    note = "plain Lanczos on its matrix products"
    batched = True

    def operator(self, layer):
        from curvlinops import HessianLinearOperator

        return HessianLinearOperator(
            self.model,
            self.criterion,
            self.parameters(layer),
            [self.data],
            check_deterministic=False,
            num_data=len(self.data[0]),
        )

    def prepare(self, layers):
        from _measure import seconds_of

        n_probes = self.workload.n_probes
        if n_probes == 1:
            self.batched = False
            return
        operator = self.operator(layers[len(layers) // 2])
        vectors = torch.randn(operator.shape[1], n_probes, device=self.data[0].device)
        ways = {
            True: lambda: operator @ vectors,
            False: lambda: [operator @ vector for vector in vectors.T],
        }
        times = {}
        for batched, way in ways.items():
            way()
            times[batched] = min(seconds_of(way) for _ in range(3))
        self.batched = times[True] < times[False]

    def quadrature(self, layer, n_probes, n_steps, seed):
        operator = self.operator(layer)

        def products(vectors):
            if self.batched:
                return operator @ vectors
            return torch.stack([operator @ v for v in vectors.T.contiguous()], dim=1)

        first = self.parameters(layer)[0]
        generator = torch.Generator().manual_seed(seed)
        starts = torch.randn(operator.shape[1], n_probes, generator=generator).to(first)
        return plain_lanczos(products, starts, n_steps)

    trace_methods = ("hutchinson_trace", "hutchpp_trace", "xtrace")

    def trace(self, layer, n_products, seed, method):
        import curvlinops

        torch.manual_seed(seed)
        return float(getattr(curvlinops, method)(self.operator(layer), n_products))


class Eigenthings(Peer):
    """HessianOperator with a `param_filter`, under its own `lanczos_tridiagonal`, per probe."""

    distribution = "hessian-eigenthings"
    note = "its own Lanczos, other layers frozen"
    trace_methods = ("hutchinson", "hutch++")

    def operator(self, layer):
        from hessian_eigenthings import HessianOperator, match_names, supervised_loss

        prefix = f"{layer}." if layer else ""
        own = self.model.get_submodule(layer).named_parameters(recurse=False)
        return HessianOperator(
            self.model,
            [self.data],
            supervised_loss(self.criterion),
            param_filter=match_names(*[prefix + name for name, _ in own]),
        )

    def trace(self, layer, n_products, seed, method):
        from hessian_eigenthings import trace

        with self.only(layer):
            operator = self.operator(layer)
            return trace(operator, num_matvecs=n_products, method=method, seed=seed).estimate

    def quadrature(self, layer, n_probes, n_steps, seed):
        from hessian_eigenthings import lanczos_tridiagonal

        generator = torch.Generator().manual_seed(seed)
        nodes, weights = [], []
        with self.only(layer):
            operator = self.operator(layer)
            for _ in range(n_probes):
                start = torch.randn(operator.size, generator=generator)
                start = start.to(dtype=operator.dtype, device=operator.device)
                run = lanczos_tridiagonal(operator, start, n_steps, reorthogonalize=True)
                values, row = tridiagonal_quadrature(run.alphas[None], run.betas[None])
                nodes.append(values[0])
                weights.append(row[0])
        return nodes, weights


class PyHessian(Peer):
    """`hessian(...).density`, which keeps one graph of the gradient for all products of a layer.

    It differentiates in whatever requires gradients, hence the freezing. It calls `torch.eig`,
    which is gone from torch; it is given one here, for the small matrix at the very end.
    """

    distribution = "PyHessian"
    as_released = False
    note = "its own density, other layers frozen, torch.eig put back"

    def quadrature(self, layer, n_probes, n_steps, seed):
        from pyhessian import hessian

        torch.manual_seed(seed)
        with self.only(layer), mock.patch.object(torch, "eig", _eig, create=True):
            tool = hessian(self.model, self.criterion, data=self.data, cuda=self.data[0].is_cuda)
            nodes, weights = tool.density(iter=n_steps, n_v=n_probes)
            del tool
        return torch.as_tensor(nodes), torch.as_tensor(weights)


class Hessdiag:
    """`layer_spectra`, on all layers in one call."""

    distribution = "hessdiag"
    note = "all layers in one call"
    as_released = True

    def __init__(self, workload, n_samples=None):
        self.net = workload.net
        self.X, self.y = workload.X[:n_samples], workload.y[:n_samples]

    @classmethod
    def version(cls):
        """Version of the installed distribution."""
        return importlib.metadata.version(cls.distribution)

    def spectra(self, **settings):
        """Return the spectra of the layers."""
        from hessdiag.spectra import layer_spectra

        return layer_spectra(self.net, self.X, self.y, **settings)

    def traces(self, **settings):
        """Return the traces of the layers."""
        from hessdiag.spectra import layer_traces

        return layer_traces(self.net, self.X, self.y, **settings)

    def stated_peak(self, **settings):
        """Return the MiB that the plan of the spectra states in advance."""
        from hessdiag.spectra import plan_spectra

        return plan_spectra(self.net, self.X, self.y, **settings).peak / 2**20

    def exact_names(self):
        """List the layers whose spectra `method="auto"` computes exactly."""
        from hessdiag.spectra import plan_spectra

        plan = plan_spectra(self.net, self.X, self.y, method="auto")
        return [layer.name for layer in plan.layers if layer.way != "lanczos"]


PEERS = {"curvlinops": Curvlinops, "hessian_eigenthings": Eigenthings, "pyhessian": PyHessian}
TOOLS = {"hessdiag": Hessdiag, **PEERS}


def plain_lanczos(products, starts, n_steps):
    """Run Lanczos with full reorthogonalization on the columns of `starts` (p, k) at once."""
    current = starts / starts.norm(dim=0)
    basis = current.new_zeros(n_steps, *current.shape)
    alphas = current.new_zeros(n_steps, current.shape[1])
    betas = current.new_zeros(n_steps, current.shape[1])
    for step in range(n_steps):
        basis[step] = current
        image = products(current)
        alphas[step] = (current * image).sum(dim=0)
        done = basis[: step + 1]
        for _ in range(2):
            overlaps = torch.einsum("mpk,pk->mk", done, image)
            image = image - torch.einsum("mpk,mk->pk", done, overlaps)
        betas[step] = image.norm(dim=0)
        current = image / betas[step].clamp_min(1e-30)
    return tridiagonal_quadrature(alphas.T, betas[:-1].T)


def tridiagonal_quadrature(alphas, betas):
    """Turn the tridiagonal matrices of k runs into nodes and weights (k, m)."""
    m = alphas.shape[1]
    matrices = torch.diag_embed(alphas)
    if m > 1:
        beside = torch.diag_embed(betas[:, : m - 1], offset=1)
        matrices = matrices + beside + beside.mT
    values, vectors = torch.linalg.eigh(matrices.cpu())
    return values, vectors[:, 0] ** 2


def _eig(matrix, eigenvectors=False):
    """Give what `torch.eig` gave for a symmetric matrix: (n, 2) real and imaginary parts."""
    values, vectors = torch.linalg.eigh(matrix)
    return torch.stack([values, torch.zeros_like(values)], dim=1), vectors
