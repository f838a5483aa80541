"""Singular values: what a net does to the *directions* around an input, where ``q`` is only their mean.

The Jacobian J = ∂a_l/∂x turns small changes of the input into changes of layer l: a sphere becomes an
ellipsoid, whose half-axes are J's singular values s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from . import activations, theory
from .activations import ActivationLike
from .arguments import Array, Real, Whole, check_whole
from .network import MLP

__all__ = ["Spectrum", "largest", "predicted", "singular_values"]


def singular_values(net: MLP, x: npt.ArrayLike | None = None, layers: Sequence[Whole] | None = None) -> Array:
    """The singular values of the Jacobian from the input to each layer's activations.

    ``J_l = D_l W_l ⋯ D_1 W_1``, with D the diagonal matrices of the slopes f'(z) at the input x; the last
    layer, which is linear, has none. Without x, the product of the weights alone, W_l ⋯ W_1.

    Parameters
    ----------
    net : MLP
        Without residual blocks and norm.
    x : array, optional
        One input, (in,).
    layers : sequence of int, optional
        Counted from 1; by default all. Each costs a singular value decomposition.

    Returns
    -------
    ndarray
        (layers, in), descending, float64. s² are the eigenvalues of JᵀJ: behind a layer of fewer units than
        the input some are 0.

    Raises
    ------
    ValueError, TypeError
        ``x`` is no input of this net, a layer is none of the net's, or the net has residual blocks or a norm.

    Notes
    -----
    Of a product that was multiplied out, singular values below 1e-16 of the largest would be rounding. So the
    product is kept as U·diag(d)·T, with U orthogonal, d descending and T well-conditioned (QR of the columns
    in the order of their norms, layer by layer), and small singular values are as exact as large ones, to
    about 1e-12 of themselves. What is below 1e-308 of the largest is 0.

    References
    ----------
    Pennington et al. 2017, eq. 2 (the Jacobian).

    Examples
    --------
    >>> net = MLP([50] * 31, "identity", "lecun_normal", rng=0)
    >>> s = singular_values(net)
    >>> s.shape, bool(s[-1, 0] > 2), bool(s[-1, -1] < 1e-25)
    ((30, 50), True, True)
    >>> net = MLP([50] * 31, "identity", "orthogonal", rng=0)
    >>> singular_values(net, layers=[30]).round(4).max()
    np.float64(1.0)
    """
    if net.residual is not None or net.norm:
        raise ValueError("net must have no residual blocks and no norm")
    if layers is not None and not np.iterable(layers):
        raise TypeError(f"layers must be a sequence of whole numbers, not {layers!r}")
    wanted = list(range(1, net.depth + 1) if layers is None else layers)
    for layer in wanted:
        check_whole("layers", layer, 1)
        if layer > net.depth:
            raise ValueError(f"layers must be from 1 to {net.depth}, not {layer}")
    n = net.widths[0]
    if x is not None and np.shape(x) != (n,):
        raise ValueError(f"x must be one input, of shape ({n},), not {np.shape(x)}")
    slopes = net.trace(np.asarray(x)[None], slopes=True).slopes if x is not None else []
    frame, sizes, mixing, power = np.eye(n), np.ones(n), np.eye(n), 0  # U, d, T; d counts as d·2^power
    found: dict[Whole, Array] = {}
    for layer in range(1, max(wanted, default=0) + 1):
        factor = net.weights[layer - 1].astype(np.float64)
        if layer <= len(slopes):
            factor *= slopes[layer - 1].T
        on = factor.any(axis=1)  # of units that are off, only rounding would be left
        step = factor[on] @ frame * sizes
        order = np.argsort(-np.abs(step).max(axis=0, initial=0.0))
        q, r = np.linalg.qr(step[:, order])
        frame = np.zeros((len(factor), len(r)))
        frame[on] = q
        sizes = np.abs(np.diagonal(r))
        shift = int(np.frexp(sizes.max(initial=0.0))[1])
        with np.errstate(all="ignore"):
            mixing = np.where(sizes[:, None] > 0, r / sizes[:, None], 0.0) @ mixing[order]
        sizes, power = np.ldexp(sizes, -shift), power + shift
        if layer in wanted:
            descending = np.argsort(-sizes)  # for a matrix graded like this, SVD is exact in small values too
            s = np.linalg.svd((sizes[:, None] * mixing)[descending], compute_uv=False)
            with np.errstate(over="ignore"):
                found[layer] = np.ldexp(np.pad(s, (0, n - len(s))), power)
    return np.array([found[layer] for layer in wanted]).reshape(-1, n)


def largest(depth: npt.ArrayLike) -> Array:
    """The edge of the spectrum of a product of wide Gaussian matrices, ``s²_max = (L + 1)^{L+1}/L^L``.

    The matrices are square, with n·Var[W] = 1; at finite n, the largest s² lies a little below. It grows as
    e·(L + ½) while the mean of s² stays 1.

    Parameters
    ----------
    depth : float or array
        L, the number of matrices, above 0.

    Returns
    -------
    ndarray
        Of the shape of ``depth``; one number for a number.

    Raises
    ------
    ValueError
        ``depth`` is not above 0.

    References
    ----------
    Pennington et al. 2017, section 2.4.

    Examples
    --------
    >>> largest([1, 2, 100]).round(2).tolist()
    [4.0, 6.75, 273.19]
    """
    depth = np.asarray(depth, np.float64)
    if not (depth > 0).all():
        raise ValueError(f"depth must be above 0, not {depth!r}")
    return np.asarray((depth + 1) * np.exp(depth * np.log1p(1 / depth)))[()]


class Spectrum(NamedTuple):
    """What ``predicted`` says of s², the squared singular values; an entry for each layer.

    Attributes
    ----------
    mean, variance : ndarray
        Of s², over the singular values of a wide net; (depth,).
    """

    mean: Array
    variance: Array


def predicted(
    depth: Whole,
    activation: ActivationLike = "relu",
    sigma_w: Real = 1.0,
    sigma_b: Real = 0.0,
    q: Real | None = None,
    *,
    orthogonal: bool = False,
) -> Spectrum:
    """Mean and variance of the squared singular values of a wide net's Jacobian, layer by layer.

    With μ_k = E[f'(√q_l z)^{2k}], one layer more multiplies the mean by χ_l and adds to Var[s²]/mean²::

        mean_l              = mean_{l−1}·σ_w² μ₁
        variance_l/mean_l²  = variance_{l−1}/mean_{l−1}² + μ₂/μ₁² − 1 − s₁

    where s₁ is 0 for orthogonal weights and −1 for Gaussian ones. Both are kept (an isometry) only where
    f'² hardly varies and the weights are orthogonal.

    Parameters
    ----------
    depth : int
        Layers, all of one width, which is large against the depth.
    activation : str, tuple, Activation or callable
        f, as in ``activations.get``.
    sigma_w, sigma_b : float
        Weights have variance σ_w²/fan_in, biases σ_b².
    q : float, optional
        The mean square of the first layer's pre-activations; by default the q* of ``theory.phase``, at which
        every layer stays.
    orthogonal : bool
        Whether weights are orthogonal, not Gaussian.

    Returns
    -------
    Spectrum

    Raises
    ------
    ValueError
        ``depth`` is below 1, or σ or q is negative or not finite.

    References
    ----------
    Pennington et al. 2017, the moments of J Jᵀ at q*; that each layer adds what belongs to its own q follows
    from the same S-transforms.

    Examples
    --------
    >>> predicted(100, "identity").variance[[0, 9, 99]].round(9).tolist()  # while every mean is 1
    [1.0, 10.0, 100.0]
    >>> predicted(100, "relu", 2**0.5, orthogonal=True).variance[-1].round(6)
    np.float64(100.0)
    """
    check_whole("depth", depth, 1)
    known = activations.get(activation)
    if q is None:
        q = min(max(theory.phase(known, sigma_w, sigma_b).q_star, 1e-14), 1e14)
    sizes: list[Any] = [q]
    for _ in range(depth):
        sizes.append(theory.length_map(known, sizes[-1], sigma_w, sigma_b))
    mu_1, mu_2 = theory.slope_moments(known, sizes[:-1])
    with np.errstate(all="ignore"):
        mean = np.cumprod(sigma_w**2 * mu_1)
        spread = np.cumsum(mu_2 / mu_1**2 - (1 if orthogonal else 0))
        return Spectrum(mean, spread * mean**2)
