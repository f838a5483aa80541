"""Activations: the function f, its slope f', and the gain that keeps a signal's size through f."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy

from .arguments import is_number

SQRT_2PI = np.sqrt(2 * np.pi)


@dataclass(frozen=True)
class Activation:
    """An elementwise function and its derivative, both of a float array, both keeping its dtype.

    ``pair``: x → (f(x), f'(x)), for functions whose two parts share work; ``both`` uses it.
    ``lines``: the slopes left and right of 0, where the function is two straight lines; its means are known.

    >>> relu.f(np.array([-1.0, 2.0]))
    array([0., 2.])
    >>> relu.df(np.array([-1.0, 2.0]))
    array([0., 1.])
    """

    name: str
    f: Callable[[np.ndarray], np.ndarray]
    df: Callable[[np.ndarray], np.ndarray]
    pair: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]] | None = None
    lines: tuple[float, float] | None = None

    def both(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """f(x) and f'(x): what a layer needs that will be asked for its gradient.

        >>> identity.both(np.array([2.0]))
        (array([2.]), array([1.]))
        """
        return self.pair(x) if self.pair else (self.f(x), self.df(x))

    def __reduce__(self):
        # Its functions may be lambdas: what has a name travels by it, to a worker of a sweep for one.
        if NAMES.get(self.name) is self:
            return get, (self.name,)
        return Activation, (self.name, self.f, self.df, self.pair, self.lines)


def _special(name: str):
    """SciPy's functions know no float16: they answer in a wider type."""
    # Looked up when it is called: SciPy loads its parts as they are needed, and these take longer than NumPy.
    return lambda x: getattr(scipy.special, name)(x).astype(x.dtype, copy=False)


_expit, _ndtr, _erf = _special("expit"), _special("ndtr"), _special("erf")


# p, highest power first, in Φ(x) ≈ ½ + ½·tanh(x·p(x²)). Two terms are GELU's well-known approximation
# (Hendrycks & Gimpel 2016, section 2); these seven, of the least greatest error, are right to 3e-8, in
# float32 to 1e-7.
_P = np.array(
    [1.7562759e-9, -1.32266229e-7, 3.96477259e-6, -5.53063141e-5, -3.25947501e-5, 0.0363330844, 0.797884941],
    np.float32,
)


def _cdf(x):
    """Φ(x), the standard normal distribution function; in float32 in a third of SciPy's time."""
    if x.dtype != np.float32:
        return _ndtr(x)
    with np.errstate(over="ignore"):  # tanh of it is ±1
        square = x * x
        u = _P[0] * square
        for term in _P[1:-1]:
            u += term
            u *= square
        u += _P[-1]
        u *= x
    u = np.tanh(u)
    u *= np.float32(0.5)
    u += np.float32(0.5)
    return u


def _tanh(x):
    t = np.tanh(x)
    return t, 1 - t * t


def _sigmoid(x):
    s = _expit(x)
    return s, s * (1 - s)


def _gelu(x):
    phi = _cdf(x)
    return x * phi, phi + x * (np.exp(-0.5 * x * x) / x.dtype.type(SQRT_2PI))


def _silu(x):
    s = _expit(x)
    return x * s, s * (1 + x * (1 - s))


def _softplus(x):
    return np.logaddexp(x, x.dtype.type(0))


def _mish(x):
    t = np.tanh(_softplus(x))
    return x * t, t + x * (1 - t * t) * _expit(x)


def _check_finite(name: str, value) -> None:
    if not is_number(value) or not np.isfinite(value):
        raise ValueError(f"{name} must be a finite number, not {value!r}")


def leaky_relu(a: float = 0.01) -> Activation:
    """f(x) = x for x > 0, a·x otherwise (Maas et al. 2013); ``a`` is the negative slope.

    >>> leaky_relu(0.5).f(np.array([-1.0, 2.0]))
    array([-0.5,  2. ])
    """
    _check_finite("leaky_relu: the slope a", a)

    def slope(x):
        if 0 <= a <= 1:  # the larger of 1 or 0 and a, a seventh of the time of a choice by mask
            return np.maximum(x > 0, x.dtype.type(a))
        return np.where(x > 0, x.dtype.type(1), x.dtype.type(a))

    def pair(x):
        s = slope(x)
        return x * s, s

    name = "leaky_relu" if a == 0.01 else f"leaky_relu({a:g})"
    return Activation(name, lambda x: pair(x)[0], slope, pair, lines=(float(a), 1.0))


def elu(alpha: float = 1.0, scale: float = 1.0, name: str = "elu") -> Activation:
    """f(x) = scale·x for x > 0, scale·alpha·(exp(x) − 1) otherwise (Clevert et al. 2015).

    >>> elu().f(np.array([0.0, 2.0]))
    array([0., 2.])
    """
    _check_finite("elu: alpha", alpha)
    _check_finite("elu: scale", scale)

    def f(x):
        t = x.dtype.type
        return t(scale) * np.where(x > 0, x, t(alpha) * np.expm1(np.minimum(x, 0)))

    def df(x):
        t = x.dtype.type
        return t(scale) * np.where(x > 0, t(1), t(alpha) * np.exp(np.minimum(x, 0)))

    return Activation(name, f, df)


def _of_pair(name: str, f, pair) -> Activation:
    """Where f' costs as much alone as both together; f alone costs less."""
    return Activation(name, f, lambda x: pair(x)[1], pair)


identity = Activation("identity", lambda x: x, np.ones_like, lines=(1.0, 1.0))
relu = Activation("relu", lambda x: np.maximum(x, 0), lambda x: (x > 0).astype(x.dtype), lines=(0.0, 1.0))
tanh = _of_pair("tanh", np.tanh, _tanh)
sigmoid = _of_pair("sigmoid", _expit, _sigmoid)
gelu = _of_pair("gelu", lambda x: x * _cdf(x), _gelu)
silu = _of_pair("silu", lambda x: x * _expit(x), _silu)
# The two constants make E[f(z)] = 0 and E[f(z)^2] = 1 (Klambauer et al. 2017, eq. 14).
selu = elu(1.6732632423543772, 1.0507009873554805, "selu")
softplus = Activation("softplus", _softplus, _expit)
mish = _of_pair("mish", lambda x: x * np.tanh(_softplus(x)), _mish)
erf = Activation("erf", _erf, lambda x: np.exp(-x * x) * x.dtype.type(2 / np.sqrt(np.pi)))
softsign = Activation("softsign", lambda x: x / (1 + np.abs(x)), lambda x: 1 / (1 + np.abs(x)) ** 2)

NAMES = {
    a.name: a
    for a in (
        identity, relu, leaky_relu(), tanh, sigmoid, gelu, silu, selu, elu(), softplus,
        mish, erf, softsign,
    )
}  # fmt: skip
# Other names: PyTorch's calculate_gain knows layers without an activation by their kind; Keras says swish.
ALIASES = dict.fromkeys(
    ("linear", *(f"conv{n}d" for n in (1, 2, 3)), *(f"conv_transpose{n}d" for n in (1, 2, 3))), "identity"
) | {"swish": "silu"}


def _central_difference(f):
    """f' where only f is known: the error is of order h² in float64, far below a float32's."""
    h = 1e-5

    def df(x):
        x64 = np.asarray(x, np.float64)
        return ((f(x64 + h) - f(x64 - h)) / (2 * h)).astype(x.dtype)

    return df


def get(activation) -> Activation:
    """The Activation meant by a name, a pair ``("leaky_relu", a)``, an Activation or a callable.

    Names are the keys of ``NAMES``, and of ``ALIASES``: "linear", "conv1d", "conv2d", "conv3d" and
    "conv_transpose1d" to "3d", as in ``torch.nn.init.calculate_gain``, are "identity"; "swish" is "silu".
    Raises ValueError for an unknown name and TypeError for anything else.

    >>> get("tanh").name
    'tanh'
    >>> get(("leaky_relu", 0.2)).name, get("swish").name
    ('leaky_relu(0.2)', 'silu')
    """
    if isinstance(activation, Activation):
        return activation
    if isinstance(activation, str):
        name = ALIASES.get(activation, activation)
        if name not in NAMES:
            known = ", ".join([*NAMES, *ALIASES])
            raise ValueError(f"activation: {activation!r} is not known; the names are {known}")
        return NAMES[name]
    if isinstance(activation, tuple) and len(activation) == 2 and activation[0] == "leaky_relu":
        return leaky_relu(activation[1])
    if callable(activation):
        name = getattr(activation, "__name__", type(activation).__name__)
        return Activation(name, activation, _central_difference(activation))
    raise TypeError(
        f"activation must be a name, ('leaky_relu', a), an Activation or a callable, not {activation!r}"
    )


_REACH = 13  # N(0, 1) beyond it holds 1e-38, below any rounding
# 1/64 wide, so that no two nodes lie further apart than 0.00072; 0, where most kinks are, is a border.
_PANELS = np.linspace(-_REACH, _REACH, 128 * _REACH + 1)
_MOST_PANELS = 2**15  # a function that is rough everywhere, as noise is, is taken as it is then


def _lobatto(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Nodes and weights on [−1, 1], its ends included: the roots of P'_{n−1}, and 2/(n(n − 1)P_{n−1}(x)²)."""
    last = np.polynomial.legendre.Legendre.basis(n - 1)
    x = np.concatenate([[-1.0], last.deriv().roots().real, [1.0]])
    return x, 2 / (n * (n - 1) * last(x) ** 2)


_GAUSS, _LOBATTO = np.polynomial.legendre.leggauss(8), _lobatto(9)


def _panel_integrals(g, moment: int, left, right, rule) -> tuple[np.ndarray, np.ndarray]:
    """∫ g(z)^moment φ(z) dz over each panel, and how far g's own rounding lets it be off."""
    nodes, weights = rule
    half = (right - left)[:, None] / 2
    z = (left[:, None] + half * (nodes + 1)).ravel()
    weights = np.exp(-z * z / 2).reshape(-1, len(nodes)) * half * weights / SQRT_2PI
    shape = z.shape
    values = np.asarray(g(z))  # which may write to z
    if values.shape != shape:
        raise ValueError(f"for an argument of shape {shape} it returns shape {values.shape}")
    if values.dtype.kind not in "buif":
        raise TypeError(f"it returns {values.dtype}")
    digit = 8 * moment * np.finfo(values.dtype).eps if values.dtype.kind == "f" else 0.0
    terms = values.astype(np.float64).reshape(-1, len(nodes)) ** moment * weights
    return terms.sum(1), digit * np.abs(terms).sum(1)


def expectation(g: Callable[[np.ndarray], np.ndarray], moment: int = 1) -> float:
    """E[g(z)^moment], z ~ N(0, 1), for any vectorised g of a float64 array, to about 1e-12 of E[|g|^moment].

    Panels on which two halves disagree with the whole, or Gauss and Legendre's rule with Lobatto's, which
    looks at the borders, are halved again: kinks and jumps may be anywhere. What is narrower than a
    thousandth can be missed. Gauss and Hermite's rule, which is the usual one, converges slowly across kinks.
    A g that answers in float32 or float16 is as good as its own digits. What lies beyond |z| = 13 is left
    out: where g^moment grows as exp(z²/3), that is below 1e-12 of the whole; as exp(2z²/5), 6e-9.
    Raises ValueError when the integral does not converge (g^moment grows as fast as exp(z²/2)), or when the
    outermost 1/64 before |z| = 13 still holds more than 1e-9 of the whole.

    >>> round(expectation(np.square), 9)
    1.0
    >>> round(expectation(lambda z: z > 0.1234), 9)  # 1 − Φ(0.1234)
    0.450895179
    """
    with np.errstate(all="ignore"):
        left, right = _PANELS[:-1], _PANELS[1:]
        whole, _ = _panel_integrals(g, moment, left, right, _GAUSS)
        scale = np.abs(whole).sum()
        if not np.isfinite(scale) or np.abs(whole[[0, -1]]).max() > 1e-9 * scale:
            raise ValueError(f"the mean over N(0, 1) is not finite, or lies beyond |z| = {_REACH}")
        total = 0.0
        for _ in range(40):
            middle = (left + right) / 2
            borders = np.r_[left, middle], np.r_[middle, right]
            halves, noise = _panel_integrals(g, moment, *borders, _GAUSS)
            check, _ = _panel_integrals(g, moment, *borders, _LOBATTO)
            off = np.abs(check - halves).reshape(2, -1).max(0)
            halves, noise = halves.reshape(2, -1), noise.reshape(2, -1).sum(0)
            off = np.maximum(off, np.abs(halves.sum(0) - whole))
            rough = off > np.maximum(1e-15 * scale, noise)
            if rough.sum() > _MOST_PANELS:
                rough[:] = False
            total += halves.sum(0)[~rough].sum()
            left, right = np.r_[left[rough], middle[rough]], np.r_[middle[rough], right[rough]]
            whole = halves[:, rough].ravel()
            if not whole.size:
                break
    return float(total + whole.sum())


_TORCH_GAINS = {"identity": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": 2**0.5, "selu": 3 / 4}


def gain(activation, convention: str = "exact") -> float:
    """The factor that a weight's standard deviation needs so that f keeps the signal's size.

    gain = 1 / √E[f(z)²], z ~ N(0, 1). With Var[W] = gain²/fan_in the mean square of a layer's
    pre-activations stays at 1 (He et al. 2015, eq. 10, where E[relu(z)²] = ½ gives gain = √2).
    Correct to 1e-6 for every named activation, and for any callable that grows no faster than exp(z²/5) and
    has finitely many kinks and jumps, no two closer than a thousandth and nothing narrower between them.
    Taught in lesson 05.

    ``convention="torch"`` gives the table of ``torch.nn.init.calculate_gain`` instead, for those who
    must match it: tanh 5/3, selu 3/4, sigmoid and identity 1; ReLU and Leaky ReLU are as here.

    Parameters: ``activation``, a name ("linear", "conv2d" and their like are "identity", as there),
    ``("leaky_relu", a)``, an Activation, or any vectorised callable. Returns a float without unit.
    Raises ValueError for an unknown name or convention, where E[f(z)²] is 0 or not finite, or where
    PyTorch's table has no such activation.

    >>> round(gain("relu") ** 2, 6)
    2.0
    >>> round(gain("tanh"), 6), round(gain("tanh", convention="torch"), 6)
    (1.592537, 1.666667)
    """
    activation = get(activation)
    if convention not in ("exact", "torch"):
        raise ValueError(f"convention must be 'exact' or 'torch', not {convention!r}")
    if convention == "exact" or activation.name.startswith("leaky_relu"):
        return _exact_gain(activation)
    if activation.name not in _TORCH_GAINS:
        raise ValueError(
            f"activation: PyTorch's table has no gain for {activation.name!r}; "
            f"it has {', '.join(_TORCH_GAINS)}, leaky_relu"
        )
    return _TORCH_GAINS[activation.name]


@functools.cache
def _named_gain(name: str) -> float:
    return _computed_gain(NAMES[name])


def _exact_gain(activation: Activation) -> float:
    # What is not ours may change, or not be hashable.
    named = NAMES.get(activation.name) is activation
    return _named_gain(activation.name) if named else _computed_gain(activation)


def _computed_gain(activation: Activation) -> float:
    if activation.lines:
        return float(np.square(activation.lines).mean()) ** -0.5
    try:
        second_moment = expectation(activation.f, moment=2)
    except TypeError as error:
        raise TypeError(
            f"activation: {activation.name!r} must take and return an array of real numbers: {error}"
        ) from None
    except ValueError as error:
        raise ValueError(f"activation: {activation.name!r} has no gain: of E[f(z)^2], {error}") from None
    if second_moment == 0:
        raise ValueError(f"activation: {activation.name!r} has no gain: E[f(z)^2] is 0")
    return second_moment**-0.5
