"""Activations: the function f, its slope f', and the gain that keeps a signal's size through f."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar

import numpy as np
import scipy

from .arguments import Array, Elementwise, Real, is_finite

__all__ = [
    "ALIASES", "NAMES", "Activation", "ActivationLike", "elu", "erf", "expectation", "gain", "gelu", "get",
    "hardswish", "identity", "leaky_relu", "mish", "relu", "relu6", "selu", "sigmoid", "silu", "softplus",
    "softsign", "tanh",
]  # fmt: skip

SQRT_2PI = np.sqrt(2 * np.pi)


@dataclass(frozen=True)
class Activation:
    """An elementwise function and its derivative.

    Parameters
    ----------
    name : str
        What reports and pictures call it.
    f, df : callable
        The function and its derivative, each from a float array to an array of the same shape and dtype.
    pair : callable, optional
        ``x → (f(x), df(x))``, for functions whose two results share work.
    lines : tuple of float, optional
        The slopes left and right of 0, for functions that are two straight lines: their means over a normal
        z have closed forms.

    Examples
    --------
    >>> relu.f(np.array([-1.0, 2.0]))
    array([0., 2.])
    >>> relu.df(np.array([-1.0, 2.0]))
    array([0., 1.])
    """

    name: str
    f: Elementwise
    df: Elementwise
    pair: Callable[[Array], tuple[Array, Array]] | None = None
    lines: tuple[float, float] | None = None

    def both(self, x: Array) -> tuple[Array, Array]:
        """Both ``f(x)`` and ``df(x)``, which a layer needs when a backward pass follows.

        Examples
        --------
        >>> identity.both(np.array([2.0]))
        (array([2.]), array([1.]))
        """
        return self.pair(x) if self.pair else (self.f(x), self.df(x))

    def __reduce__(self) -> tuple[Any, ...]:
        # Lambdas cannot be pickled, so a named activation goes to another process by its name.
        if NAMES.get(self.name) is self:
            return get, (self.name,)
        return Activation, (self.name, self.f, self.df, self.pair, self.lines)


ActivationLike: TypeAlias = str | tuple[str, Real] | Activation | Elementwise
"""A name, ``("leaky_relu", a)``, an Activation, or a function from an array to an array."""


def _special(name: str) -> Elementwise:
    """SciPy's function of that name, its result in the dtype of x: SciPy answers float16 in a wider one."""
    # The call looks it up, not the import: scipy.special takes longer to load than NumPy.
    return lambda x: getattr(scipy.special, name)(x).astype(x.dtype, copy=False)


_expit, _ndtr, _erf = _special("expit"), _special("ndtr"), _special("erf")


# Φ(x) ≈ ½ + ½·tanh(x·p(x²)); the coefficients of p, highest power first. Two would be GELU's usual
# approximation (Hendrycks & Gimpel 2016, section 2). These seven, fitted for the smallest maximal error, are
# right to 3e-8, and to 1e-7 in float32.
_P = np.array(
    [1.7562759e-9, -1.32266229e-7, 3.96477259e-6, -5.53063141e-5, -3.25947501e-5, 0.0363330844, 0.797884941],
    np.float32,
)


def _cdf(x: Array) -> Array:
    """Φ(x), the standard normal distribution function; for float32 three times as fast as SciPy's."""
    if x.dtype != np.float32:
        return _ndtr(x)
    with np.errstate(over="ignore"):  # tanh(±inf) = ±1 is right
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


def _tanh(x: Array) -> tuple[Array, Array]:
    t = np.tanh(x)
    return t, 1 - t * t


def _sigmoid(x: Array) -> tuple[Array, Array]:
    s = _expit(x)
    return s, s * (1 - s)


def _gelu(x: Array) -> tuple[Array, Array]:
    phi = _cdf(x)
    return x * phi, phi + x * (np.exp(-0.5 * x * x) / x.dtype.type(SQRT_2PI))


def _silu(x: Array) -> tuple[Array, Array]:
    s = _expit(x)
    return x * s, s * (1 + x * (1 - s))


def _softplus(x: Array) -> Array:
    return np.logaddexp(x, x.dtype.type(0))


def _mish(x: Array) -> tuple[Array, Array]:
    t = np.tanh(_softplus(x))
    return x * t, t + x * (1 - t * t) * _expit(x)


def _check_finite(name: str, value: object) -> None:
    if not is_finite(value):
        raise ValueError(f"{name} must be a finite number, not {value!r}")


def leaky_relu(a: Real = 0.01) -> Activation:
    """Leaky ReLU: ``f(x) = x`` for x > 0, ``a·x`` otherwise.

    Parameters
    ----------
    a : float
        The slope left of 0.

    Returns
    -------
    Activation
        Called "leaky_relu(0.2)", say, and for the default "leaky_relu".

    Raises
    ------
    ValueError
        ``a`` is not a finite number.

    References
    ----------
    Maas et al. 2013.

    Examples
    --------
    >>> leaky_relu(0.5).f(np.array([-1.0, 2.0]))
    array([-0.5,  2. ])
    """
    _check_finite("leaky_relu: the slope a", a)

    def slope(x):
        if 0 <= a <= 1:  # then f' = max(x > 0, a), seven times as fast as np.where
            return np.maximum(x > 0, x.dtype.type(a))
        return np.where(x > 0, x.dtype.type(1), x.dtype.type(a))

    def pair(x):
        s = slope(x)
        return x * s, s

    name = "leaky_relu" if a == 0.01 else f"leaky_relu({a:g})"
    return Activation(name, lambda x: pair(x)[0], slope, pair, lines=(float(a), 1.0))


def elu(alpha: Real = 1.0, scale: Real = 1.0, name: str = "elu") -> Activation:
    """ELU: ``f(x) = scale·x`` for x > 0, ``scale·alpha·(exp(x) − 1)`` otherwise.

    Parameters
    ----------
    alpha, scale : float
        f tends to ``−scale·alpha`` on the left; ``scale`` is the slope on the right.
    name : str
        The Activation's name.

    Returns
    -------
    Activation

    Raises
    ------
    ValueError
        ``alpha`` or ``scale`` is not a finite number.

    References
    ----------
    Clevert et al. 2015; with ``scale``, Klambauer et al. 2017.

    Examples
    --------
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


def _of_pair(name: str, f: Elementwise, pair: Callable[[Array], tuple[Array, Array]]) -> Activation:
    """An activation whose f' alone costs as much as f and f' together, so that ``pair`` gives it."""
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
# ReLU with an upper bound, and SiLU of straight lines (Howard et al. 2017 and 2019, MobileNets).
relu6 = Activation("relu6", lambda x: np.clip(x, 0, 6), lambda x: ((x > 0) & (x < 6)).astype(x.dtype))
hardswish = Activation(
    "hardswish",
    lambda x: x * np.clip(x / 6 + 0.5, 0, 1),
    lambda x: np.where(np.abs(x) < 3, x / 3 + 0.5, x > 0).astype(x.dtype),
)

NAMES = {
    a.name: a
    for a in (
        identity, relu, leaky_relu(), tanh, sigmoid, gelu, silu, selu, elu(), softplus,
        mish, erf, softsign, relu6, hardswish,
    )
}  # fmt: skip
"""Every activation that ``get`` knows, by its name."""

ALIASES = dict.fromkeys(
    ("linear", *(f"conv{n}d" for n in (1, 2, 3)), *(f"conv_transpose{n}d" for n in (1, 2, 3))), "identity"
) | {"swish": "silu", "hard_swish": "hardswish", "hard_silu": "hardswish"}
"""Other libraries' names: PyTorch's ``calculate_gain`` calls no activation by the kind of layer."""


_T = TypeVar("_T")


def cached(function: Callable[[Activation], _T]) -> Callable[[Activation], _T]:
    """``function``, but computed once for each named activation.

    Not for a reader's own: it may change, share a name with another, or not be hashable.
    """
    of_name = functools.cache(lambda name: function(NAMES[name]))

    @functools.wraps(function)
    def known(activation: Activation) -> _T:
        named = NAMES.get(activation.name) is activation
        return of_name(activation.name) if named else function(activation)

    return known


def _applied(name: str, f: Elementwise, x: Array) -> Array:
    """f(x) of a reader's function; the error for what is no elementwise function names the activation."""
    try:
        values = np.asarray(f(x))
    except TypeError as error:
        raise TypeError(
            f"activation: {name!r} must take and return an array of real numbers: {error}"
        ) from error
    if values.dtype.kind not in "buif":
        raise TypeError(
            f"activation: {name!r} must take and return an array of real numbers: it returns {values.dtype}"
        )
    if values.shape != x.shape:
        raise ValueError(f"activation returned shape {values.shape} for an argument of shape {x.shape}")
    return values


def _checked(name: str, f: Elementwise) -> Elementwise:
    checked = isinstance(f, functools.partial) and f.func is _applied
    return f if checked else functools.partial(_applied, name, f)


def _central_difference(f: Elementwise) -> Elementwise:
    """f' from f alone, in float64: its error, of order h², is far below float32's rounding."""
    h = 1e-5

    def df(x):
        x64 = np.asarray(x, np.float64)
        return ((f(x64 + h) - f(x64 - h)) / (2 * h)).astype(x.dtype)

    return df


def get(activation: ActivationLike) -> Activation:
    """The Activation that a name, a pair, an Activation or a callable means.

    Parameters
    ----------
    activation : str, tuple, Activation or callable
        A key of ``NAMES`` or ``ALIASES``; ``("leaky_relu", a)``; an Activation, which is returned; or a
        vectorised function, whose derivative is then taken numerically. As in
        ``torch.nn.init.calculate_gain``, "linear", "conv1d" … "conv_transpose3d" mean "identity"; "swish" is
        "silu".

    Returns
    -------
    Activation
        The same one for the same name.

    Raises
    ------
    ValueError
        The name is unknown.
    TypeError
        ``activation`` is none of these.

    Examples
    --------
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
        f = _checked(name, activation)
        return Activation(name, f, _central_difference(f))
    raise TypeError(
        f"activation must be a name, ('leaky_relu', a), an Activation or a callable, not {activation!r}"
    )


_REACH = 13  # the integrals end at ±13: N(0, 1) has a mass of 1e-38 beyond, below any rounding
# Panels are 1/64 wide, so that neighbouring nodes lie at most 0.00072 apart. 0, where most kinks are, is a
# border.
_PANELS = np.linspace(-_REACH, _REACH, 128 * _REACH + 1)
_MOST_PANELS = 2**15  # a function that is rough everywhere, such as noise, is not refined beyond this


def _lobatto(n: int) -> tuple[Array, Array]:
    """Gauss and Lobatto's rule: ±1 and the roots of P'_{n−1}, with weights 2/(n(n − 1)P_{n−1}(x)²)."""
    last = np.polynomial.legendre.Legendre.basis(n - 1)
    x = np.concatenate([[-1.0], last.deriv().roots().real, [1.0]])
    return x, 2 / (n * (n - 1) * last(x) ** 2)


_GAUSS, _LOBATTO = np.polynomial.legendre.leggauss(8), _lobatto(9)


def _panel_integrals(
    g: Elementwise, moment: int, left: Array, right: Array, rule: tuple[Array, Array]
) -> tuple[Array, Array]:
    """∫ g(z)^moment φ(z) dz over each panel, and the error that the rounding of g can cause in it."""
    nodes, weights = rule
    half = (right - left)[:, None] / 2
    z = (left[:, None] + half * (nodes + 1)).ravel()
    weights = np.exp(-z * z / 2).reshape(-1, len(nodes)) * half * weights / SQRT_2PI
    shape = z.shape  # before the call, as g may write to z
    values = np.asarray(g(z))
    if values.shape != shape:
        raise ValueError(f"for an argument of shape {shape} it returns shape {values.shape}")
    if values.dtype.kind not in "buif":
        raise TypeError(f"it returns {values.dtype}")
    digit = 8 * moment * np.finfo(values.dtype).eps if values.dtype.kind == "f" else 0.0
    terms = values.astype(np.float64).reshape(-1, len(nodes)) ** moment * weights
    return terms.sum(1), digit * np.abs(terms).sum(1)


def expectation(g: Elementwise, moment: int = 1) -> float:
    """The mean ``E[g(z)^moment]`` over z ~ N(0, 1), to about 1e-12 of ``E[|g(z)|^moment]``.

    Parameters
    ----------
    g : callable
        A vectorised function of a float64 array. It may have kinks and jumps anywhere, but a detail narrower
        than a thousandth can be missed. If it answers in float32 or float16, the mean is as exact as that.
    moment : int
        The power.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        The integral does not converge (g^moment grows as fast as exp(z²/2)), or its last 1/64 before
        ``|z| = 13`` still holds more than 1e-9 of it.
    TypeError
        ``g`` does not return real numbers.

    Notes
    -----
    Adaptive quadrature. A panel is halved where its halves do not add up to it, or where Gauss and Legendre's
    rule and Lobatto's, which has nodes on the borders, disagree. Gauss and Hermite's rule, the usual one,
    converges slowly across kinks. The part beyond ``|z| = 13`` is left out: below 1e-12 of the whole where
    g^moment grows as exp(z²/3), 6e-9 where it grows as exp(2z²/5).

    Examples
    --------
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


def gain(activation: ActivationLike, convention: Literal["exact", "torch"] = "exact") -> float:
    """The factor of a weight's standard deviation that keeps a signal's size through the activation.

    ``gain = 1 / √E[f(z)²]``, z ~ N(0, 1). With ``Var[W] = gain²/fan_in`` the pre-activations keep their mean
    square, 1. Taught in lesson 05.

    Parameters
    ----------
    activation : str, tuple, Activation or callable
        As in ``activations.get``.
    convention : {"exact", "torch"}
        "torch" gives the table of ``torch.nn.init.calculate_gain``: tanh 5/3, selu 3/4, sigmoid and identity
        1; ReLU and Leaky ReLU are the same in both.

    Returns
    -------
    float
        Without unit. Right to 1e-6 for every named activation, and for any callable that grows no faster
        than exp(z²/5) and has finitely many kinks and jumps, all further apart than a thousandth.

    Raises
    ------
    ValueError
        The name or the convention is unknown, ``E[f(z)²]`` is 0 or not finite, or PyTorch's table lacks the
        activation.

    References
    ----------
    He et al. 2015, eq. 10, where ``E[relu(z)²] = ½`` gives a gain of √2.

    Examples
    --------
    >>> round(gain("relu") ** 2, 6)
    2.0
    >>> round(gain("tanh"), 6), round(gain("tanh", convention="torch"), 6)
    (1.592537, 1.666667)
    """
    activation = get(activation)
    if convention not in ("exact", "torch"):
        raise ValueError(f"convention must be 'exact' or 'torch', not {convention!r}")
    if convention == "exact" or activation.name.startswith("leaky_relu"):
        return _computed_gain(activation)
    if activation.name not in _TORCH_GAINS:
        raise ValueError(
            f"activation: PyTorch's table has no gain for {activation.name!r}; "
            f"it has {', '.join(_TORCH_GAINS)}, leaky_relu"
        )
    return _TORCH_GAINS[activation.name]


@cached
def _computed_gain(activation: Activation) -> float:
    if activation.lines:
        return float(np.square(activation.lines).mean()) ** -0.5
    try:
        second_moment = expectation(_checked(activation.name, activation.f), moment=2)
    except ValueError as error:
        raise ValueError(f"activation: {activation.name!r} has no gain: of E[f(z)^2], {error}") from None
    if second_moment == 0:
        raise ValueError(f"activation: {activation.name!r} has no gain: E[f(z)^2] is 0")
    # Thirteen digits: exp and tanh differ from one machine to another in the last of sixteen.
    return float(f"{second_moment**-0.5:.13g}")
