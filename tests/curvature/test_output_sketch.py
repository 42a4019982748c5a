"""Random columns that stand for output Hessians, against these Hessians in closed form."""

import numpy as np
import pytest
import torch
from problems import problem_of
from torch import nn

from hessdiag.curvature import _output_sketch, random_roots
from hessdiag.curvature._closed_roots import closed_root
from hessdiag.curvature.network import NotSeparableError, untouched_surroundings

N, C, T = 5, 4, 3
RNG = np.random.default_rng(0)
Z, Z_TOKENS = RNG.normal(size=(N, C)), 2 * RNG.normal(size=(N, C, T))


def of_softmax(z):
    p = np.exp(z) / np.exp(z).sum(axis=-1, keepdims=True)
    return p[..., None] * np.eye(z.shape[-1]) - p[..., None] * p[..., None, :]


def of_tokens(z):
    """Hessians (N, C T, C T) of cross-entropies at T places, each by itself."""
    each = of_softmax(np.moveaxis(z, 1, 2))
    found = np.zeros((N, C, T, C, T))
    for t in range(T):
        found[:, :, t, :, t] = each[:, t]
    return found.reshape(N, C * T, C * T)


#: Keywords of a problem, and its output Hessians.
CASES = {
    "squares": (
        {"outputs": Z, "y": RNG.normal(size=(N, C)), "criterion": nn.MSELoss, "kind": "regressor"},
        np.broadcast_to(2 * np.eye(C) / (N * C), (N, C, C)),
    ),
    "classes": (
        {"outputs": Z, "y": RNG.integers(0, C, N), "criterion": nn.CrossEntropyLoss},
        of_softmax(Z) / N,
    ),
    "tokens": (
        {"outputs": Z_TOKENS, "y": RNG.integers(0, C, (N, T)), "criterion": nn.CrossEntropyLoss},
        of_tokens(Z_TOKENS) / (N * T),
    ),
}


def function_of(keywords, formed):
    with untouched_surroundings():
        function = problem_of(**keywords).output_function
    return function if formed else function.without_hessians()


def columns(function, n_columns, n_draws=1):
    generator = torch.Generator().manual_seed(0)
    return [random_roots(function, n_columns, generator).numpy() for _ in range(n_draws)]


@pytest.fixture
def by_iterations(monkeypatch):
    """Leave no closed form."""
    monkeypatch.setattr(_output_sketch, "closed_root", lambda *_: None)


@pytest.mark.parametrize("formed", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_their_squares_are_the_hessians_in_the_mean(case, formed):
    keywords, expected = CASES[case]
    n_draws = 3000 if formed else 1000
    drawn = np.array(columns(function_of(keywords, formed), 2, n_draws))
    assert drawn.shape[-1] == 2
    squares = drawn @ drawn.transpose(0, 1, 3, 2)
    errors = squares.std(axis=0) / np.sqrt(n_draws)
    assert (np.abs(squares.mean(axis=0) - expected) <= 5 * errors + 1e-9).all()


@pytest.mark.parametrize("case", CASES)
def test_as_many_as_the_rank_are_exact(case):
    keywords, expected = CASES[case]
    (drawn,) = columns(function_of(keywords, True), C * T)
    np.testing.assert_allclose(drawn @ drawn.transpose(0, 2, 1), expected, atol=1e-12)


@pytest.mark.parametrize("case", CASES)
@pytest.mark.usefixtures("by_iterations")
def test_iterations_give_the_square_root(case):
    """A column is Lambda^(1/2) w for signs w, which are drawn here once more."""
    keywords, expected = CASES[case]
    (drawn,) = columns(function_of(keywords, False), 1)
    generator = torch.Generator().manual_seed(0)
    signs = torch.randint(0, 2, expected.shape[:2], generator=generator, dtype=torch.int8)
    values, vectors = np.linalg.eigh(expected)
    roots = vectors * np.sqrt(np.maximum(values, 0))[:, None] @ vectors.transpose(0, 2, 1)
    found = (roots @ (2.0 * signs.numpy() - 1)[..., None])[..., 0]
    np.testing.assert_allclose(drawn[..., 0], found, atol=1e-7 * np.abs(found).max())


@pytest.mark.usefixtures("by_iterations")
def test_lengths_are_right_after_few_iterations():
    """|S|^2 = w' Lambda w whatever the number of steps, but for lost orthogonality."""
    n, c = 3, 60
    z = 2 * RNG.normal(size=(n, c))
    keywords = {"outputs": z, "y": RNG.integers(0, c, n), "criterion": nn.CrossEntropyLoss}
    (drawn,) = columns(function_of(keywords, False), 1)
    generator = torch.Generator().manual_seed(0)
    signs = torch.randint(0, 2, (n, c), generator=generator, dtype=torch.int8).numpy() * 2.0 - 1
    expected = np.einsum("nc,ncd,nd->n", signs, of_softmax(z) / n, signs)
    np.testing.assert_allclose((drawn[..., 0] ** 2).sum(axis=1), expected, rtol=1e-4)


def test_the_same_seed_gives_the_same():
    function = function_of(CASES["tokens"][0], False)
    first, second = columns(function, 2)[0], columns(function, 2)[0]
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("formed", [True, False])
def test_what_is_not_convex_has_none(formed):
    def get_loss(self, y_pred, y_true, *args, **kwargs):
        return torch.cos(y_pred - y_true).mean()

    keywords = {
        "outputs": Z,
        "y": Z + RNG.normal(size=Z.shape),
        "criterion": nn.MSELoss,
        "get_loss": get_loss,
    }
    with pytest.raises(NotSeparableError, match="not convex"):
        columns(function_of(keywords, formed), 1)


WEIGHTS = torch.tensor([0.5, 2.0, 0.0, 1.0])
Y_TOKENS = RNG.integers(0, C, (N, T))
Y_TOKENS[0, 1] = -100


class Weighted(nn.CrossEntropyLoss):
    def __init__(self):
        super().__init__(weight=WEIGHTS, label_smoothing=0.1)


#: Losses with closed roots: outputs, targets, criterion.
CLOSED = {
    "squares": (Z, RNG.normal(size=(N, C)), nn.MSELoss),
    "sigmoids": (Z, RNG.integers(0, 2, (N, C)).astype(float), nn.BCEWithLogitsLoss),
    "counts": (Z, RNG.integers(0, 5, (N, C)).astype(float), nn.PoissonNLLLoss),
    "classes": (Z, RNG.integers(0, C, N), nn.CrossEntropyLoss),
    "weighted classes": (Z, RNG.integers(0, C, N), Weighted),
    "tokens, one of which does not count": (Z_TOKENS, Y_TOKENS, nn.CrossEntropyLoss),
    "sure classes": (1e3 * Z, RNG.integers(0, C, N), nn.CrossEntropyLoss),
}


@pytest.mark.parametrize("case", CLOSED)
def test_closed_roots_are_roots(case):
    outputs, y, criterion = CLOSED[case]
    kind = "regressor" if np.asarray(y).dtype == float else "classifier"
    function = function_of(
        {"outputs": outputs, "y": y, "criterion": criterion, "kind": kind}, False
    )
    root = closed_root(function, torch.Generator().manual_seed(0))
    d = function.products.residuals.shape[1]
    units = torch.eye(d, dtype=torch.float64)[:, None].expand(-1, N, -1)
    roots = torch.stack([root(unit) for unit in units], dim=2)
    hessians = function.products.products(units.contiguous(), 0).permute(1, 2, 0)
    scale = float(hessians.abs().max())
    torch.testing.assert_close(roots @ roots.mT, hessians, atol=1e-12 * scale + 1e-30, rtol=1e-9)


def test_losses_of_other_forms_have_no_closed_root():
    def get_loss(self, y_pred, y_true, *args, **kwargs):
        return (y_pred.sum(dim=1) - y_true.sum(dim=1)).square().mean()

    keywords = {"outputs": Z, "y": Z + 1, "criterion": nn.MSELoss, "kind": "regressor"}
    function = function_of(keywords | {"get_loss": get_loss}, False)
    assert closed_root(function, torch.Generator().manual_seed(0)) is None
    (drawn,) = columns(function, 3)
    # Every Hessian is a multiple of the matrix of ones, and so is its root.
    np.testing.assert_allclose(drawn, drawn.mean(axis=1, keepdims=True) + 0 * drawn, atol=1e-9)


def weighed(each):
    """The mean over samples of a loss that weighs 1e9 times as much for every third of them."""

    def get_loss(self, y_pred, y_true, *args, **kwargs):
        losses = nn.functional.cross_entropy(y_pred, y_true[:, 0].long(), reduction="none")
        return torch.where(y_true[:, 1] > 0, 1e9 * losses, each(y_pred, losses)).mean()

    return get_loss


HEAVY = np.column_stack([RNG.integers(0, C, 9), np.arange(9) % 3 == 0]).astype(float)
Z_HEAVY = RNG.normal(size=(9, C))


def heavy(each):
    keywords = {"outputs": Z_HEAVY, "y": HEAVY, "criterion": nn.MSELoss}
    return function_of(keywords | {"get_loss": weighed(each)}, False)


def test_samples_of_little_weight_are_held_to_their_own_scale():
    root = closed_root(heavy(lambda z, losses: losses), torch.Generator().manual_seed(0))
    units = torch.eye(C, dtype=torch.float64)[:, None].expand(-1, 9, -1)
    roots = torch.stack([root(unit) for unit in units], dim=2)
    expected = of_softmax(Z_HEAVY) * np.where(HEAVY[:, 1] > 0, 1e9, 1.0)[:, None, None] / 9
    for found, own in zip((roots @ roots.mT).numpy(), expected):
        np.testing.assert_allclose(found, own, atol=1e-12 * np.abs(own).max())


OTHERS = {
    "of another form": (lambda z, losses: 0.01 * z.sum(dim=1).square() + losses, False),
    "that are not convex": (lambda z, losses: torch.cos(z).sum(dim=1), True),
}


@pytest.mark.parametrize("case", OTHERS)
def test_samples_of_little_weight_are_noticed(case):
    each, refused = OTHERS[case]
    function = heavy(each)
    assert closed_root(function, torch.Generator().manual_seed(0)) is None
    if refused:
        with pytest.raises(NotSeparableError, match="not convex"):
            columns(function, 1)
        return
    drawn = np.array(columns(function, 2, 1000))
    squares = (drawn @ drawn.transpose(0, 1, 3, 2)).mean(axis=0)
    expected = of_softmax(Z_HEAVY) / 9 + 0.02 * np.ones((C, C)) / 9
    light = HEAVY[:, 1] == 0
    np.testing.assert_allclose(squares[light], expected[light], atol=0.2 * expected.max())


def sure_hessians(z):
    """``sum_(i < j) p_i p_j (e_i - e_j) (e_i - e_j)'``, a sum of terms that do not cancel."""
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    found = -np.einsum("ni,nj->nij", p, p)
    for n, c in np.ndindex(p.shape):
        found[n, c, c] = p[n, c] * np.delete(p[n], c).sum()
    return found


def sure(formed):
    keywords = {"outputs": 800 * Z, "y": Z.argmax(axis=1), "criterion": nn.CrossEntropyLoss}
    return function_of(keywords, formed)


def test_a_sure_softmax_has_a_closed_root_that_is_right():
    root = closed_root(sure(False), torch.Generator().manual_seed(0))
    units = torch.eye(C, dtype=torch.float64)[:, None].expand(-1, N, -1)
    roots = torch.stack([root(unit) for unit in units], dim=2)
    expected = sure_hessians(800 * Z) / N
    assert np.abs(expected).max() < 1e-15
    for found, own in zip((roots @ roots.mT).numpy(), expected):
        # As roots have half of the digits, numbers far below the largest may be lost.
        np.testing.assert_allclose(found, own, rtol=1e-6, atol=1e-9 * np.abs(own).max())


@pytest.mark.parametrize("formed", [True, False])
def test_a_sure_softmax_is_convex(formed, monkeypatch):
    monkeypatch.setattr(_output_sketch, "closed_root", lambda *_: None)
    (drawn,) = columns(sure(formed), C)
    assert np.isfinite(drawn).all()
    assert (drawn**2).sum() < 1e-14
