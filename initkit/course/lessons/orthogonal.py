"""Lesson 09: which directions of the input a deep net keeps, and why an orthogonal start keeps them all."""

from __future__ import annotations

import functools

import numpy as np

from ... import activations, initializers, plots, spectra, theory
from ...plots import DIM, MEASURED, QUIET, THEORY
from ...widgets import controls
from ...words import Language, two_digits
from .. import answers
from ..registry import exercise, live_figure

WIDTH = 100
SHOWN = np.array((0, 1, 2, 4, 6, 8, 10, 13, 16, 20, 25, 30, 36, 43, 50))  # layers whose values are drawn
SIGMAS = (0.5, 0.7, 0.8, 0.9, 0.95, 1.0, 1.05, 1.1, 1.2, 1.3, 2**0.5, 1.5, 1.75, 2.0)
STARTS = {"gaussian": initializers.lecun_normal, "orthogonal": initializers.orthogonal}
Z = np.linspace(-6, 6, 240)  # an even number, so that half are positive, as of all z
CHANCE = np.exp(-np.square(Z) / 2) / np.exp(-np.square(Z) / 2).sum()


def matrices(start: str, seed: int) -> np.ndarray:
    """Weights (layers, n, n) for σ_w = 1.

    Independent ones are each multiplied by a number near 1. It makes the mean s² of their product, which
    differs by draw in a net of 100 units, exactly its average, 1.
    """
    rng, whole, drawn = np.random.default_rng(seed), np.eye(WIDTH), []
    for _ in range(SHOWN[-1]):
        w = STARTS[start]((WIDTH, WIDTH), rng=rng, dtype=np.float64)
        whole = w @ whole
        size = np.sqrt(np.square(whole).sum() / WIDTH)
        whole /= size
        drawn.append(w / size)
    return np.array(drawn)


def opening(weights: np.ndarray, activation: str, sigma_w: float, x: np.ndarray) -> np.ndarray:
    """Singular values (shown layers, n) of ∂a_l/∂x, the largest first, where a_l = f(σ_w W_l a_{l−1}).

    As ``spectra.singular_values`` has them, in a quarter of its time: the small ones, which it has exactly,
    are below the picture's axis.
    """
    f, a, jacobian = activations.get(activation), x, np.eye(WIDTH)
    kept = [jacobian]
    for layer, w in enumerate(weights, 1):
        value, slope = f.both(sigma_w * (w @ a))
        a, jacobian = value, (sigma_w * slope)[:, None] * (w @ jacobian)
        if layer in SHOWN:
            kept.append(jacobian)
    values = np.linalg.svd(np.array(kept), compute_uv=False)
    return np.where(values > 1e-13 * values[:, :1], values, 0.0)  # smaller ones are rounding errors


class Edge:
    """The law's mean s² and its largest s, layer by layer, where the net is infinitely wide.

    With S-transforms, which multiply where free matrices do (Pennington et al. 2017): the law of s² ends at
    the least of (1 + z)/(z S(z)) over z > 0. A layer divides S by σ_w², by 1 + z where W is Gaussian, and by
    (1 + z)^{-1} z y(z) for the slopes, with E[f'²/(y − f'²)] = z.
    """

    def __init__(self, activation: str):
        self.f = activations.get(activation)
        self.z = np.geomspace(1e-3, 1e3, 48)
        self.sizes = np.geomspace(1e-3, 20, 40) if activation == "tanh" else np.ones(1)  # of q
        steep = np.square(self.f.df(np.sqrt(self.sizes)[:, None] * Z))[:, None, :]
        top = steep.max(axis=-1)
        high = np.full((len(self.sizes), len(self.z)), 25.0)
        low = -high
        for _ in range(40):  # y = top·(1 + e^t), by bisection
            t = (low + high) / 2
            y = top * (1 + np.exp(t))
            over = (steep / (y[..., None] - steep)) @ CHANCE > self.z
            low, high = np.where(over, t, low), np.where(over, high, t)
        self.passed = np.log(y * self.z / (1 + self.z))

    def __call__(self, sigma_w: float, gaussian: bool) -> tuple[np.ndarray, np.ndarray]:
        """Root mean square and largest s, (1 + layers,) each, for an input of q = 1."""
        q, log_x = sigma_w**2, [np.log((1 + self.z) / self.z)]
        mean = spectra.predicted(int(SHOWN[-1]), self.f, sigma_w, q=q).mean
        for _ in mean:
            at = np.interp(np.log(q), np.log(self.sizes), np.arange(len(self.sizes)))
            low, high = int(at), min(int(at) + 1, len(self.sizes) - 1)
            slopes = self.passed[low] + (at - low) * (self.passed[high] - self.passed[low])
            log_x.append(log_x[-1] + 2 * np.log(sigma_w) + gaussian * np.log1p(self.z) + slopes)
            q = theory.length_map(self.f, q, sigma_w)
        return np.sqrt(np.append(1, mean)), np.exp(np.min(log_x, axis=1) / 2)


class CircleToNeedle(plots.Picture):
    """A fan of singular values over depth, and what becomes of a circle of inputs."""

    HEIGHT = 4.5
    LOW, HIGH = 1e-8, 1e4
    SMALL = 0.01

    def build(self):
        figure = self.figure
        fan, circle = figure.add_axes((0.075, 0.12, 0.525, 0.62)), figure.add_axes((0.67, 0.12, 0.32, 0.62))
        fan.set(xlim=(-1, SHOWN[-1] + 1.5), yscale="log", ylim=(self.LOW / 3, self.HIGH * 3))
        fan.set_yticks([10.0**k for k in (-8, -6, -4, -2, 0, 2, 4)])
        fan.minorticks_off()
        fan.set_title(self.text("orthogonal.fan", n=WIDTH), loc="left")
        fan.set_xlabel(self.text("orthogonal.layer"))
        plots.ruled(fan, "y")
        fan.axhline(1, color=QUIET, lw=0.8)
        shapes = {
            "orthogonal.edge": {"color": THEORY, "lw": 1.6},
            "orthogonal.mean": {"color": THEORY, "lw": 1.6, "ls": "--"},
        }
        entries = {self.text(key): shape for key, shape in shapes.items()}
        plots.key(figure, fan, entries, (0.02, 0.905), "upper left")
        measured = {"color": MEASURED, "ls": "", "ms": 3.2, "mew": 0, "alpha": 0.55, "clip_on": False}
        self.values, self.above, self.below = (
            self.curve(fan, mark, **measured | {"ms": size})
            for mark, size in (("o", 3.2), ("^", 5), ("v", 5))
        )
        self.edge, self.mean = (self.curve(fan, **shape) for shape in shapes.values())
        circle.set(xlim=(-1.15, 1.15), ylim=(-1.15, 1.15), xticks=[], yticks=[], aspect="equal")
        circle.set_title(self.text("orthogonal.circle"), loc="left")
        circle.set_xlabel(self.text("orthogonal.longest"))
        circle.set_ylabel(self.text("orthogonal.middle"))
        around = np.linspace(0, 2 * np.pi, 73)
        self.unit = np.array([np.cos(around), np.sin(around)])
        circle.plot(*self.unit, color=QUIET, lw=0.8, ls=":")
        shape = {"color": MEASURED, "clip_on": False}
        self.image = self.curve(circle, "-", lw=1.2, **shape)
        self.dots = self.curve(circle, "o", ms=4.5, mew=0, alpha=0.6, **shape)
        self.verdict = self.words(0.02, 0.935, size=12)

    def update(self, layers, values, mean, edge):
        """``layers`` (k,) and ``values`` (k, n), the largest first; ``mean`` and ``edge`` of every layer."""
        deepest, last = values[-1], layers[-1]
        places, s = np.repeat(layers, values.shape[1]), values.ravel()
        inside, above = (s >= self.LOW) & (s <= self.HIGH), s > self.HIGH
        self.values.set_data(places[inside], s[inside])
        for marks, those, where in (
            (self.above, above, self.HIGH * 1.8),
            (self.below, s < self.LOW, self.LOW / 1.8),
        ):
            at = np.unique(places[those])
            marks.set_data(at, np.full(len(at), where))
        whole = np.arange(last + 1)
        for line, law in ((self.mean, mean), (self.edge, edge)):
            law = law[: last + 1].copy()
            law[(law < self.LOW) | (law > self.HIGH)] = np.nan
            line.set_data(whole, law)
        middle = deepest[len(deepest) // 2]
        ellipse = self.unit * [[1], [middle / deepest[0] if deepest[0] > 0 else 0]]
        self.image.set_data(*ellipse)
        self.dots.set_data(*ellipse[:, ::3])
        said = {"mean": np.square(deepest).mean(), "largest": deepest[0], "middle": middle}
        said = {name: short(value) for name, value in said.items()}
        said["small"] = f"{(deepest < self.SMALL).mean():.0%}"
        self.verdict.set_text(self.text("orthogonal.verdict", depth=last, **said))


def short(value: float) -> str:
    """Two decimals, or a power of ten.

    >>> [short(value) for value in (1.0, 0.034, 2e-7, 31.6, 4e5, 0.0)]
    ['1.00', '0.034', '2·10⁻⁷', '32', '4·10⁵', '0']
    """
    if value == 0 or 10 <= value < 1e3:
        return f"{value:.0f}"
    if 0.1 <= value < 10:
        return f"{value:.2f}"
    if 1e-3 <= value < 0.1:
        return f"{value:.2g}"
    return two_digits(float(f"{value:.0e}"))


@live_figure
def orthogonal(*, lang: Language, seed: int = 0):
    """A hundred singular values of a net of 100 units a layer, by depth, and a circle of its inputs.

    n·Var[W] = σ_w², biases zero; one random input of q = 1, around which the net is taken to be linear.
    """
    picture = CircleToNeedle(lang)
    x = np.random.default_rng(seed).standard_normal(WIDTH)
    x /= np.sqrt(np.square(x).mean())
    weights = functools.cache(lambda start: matrices(start, seed))
    edge = functools.cache(Edge)
    law = functools.cache(lambda activation, start, sigma_w: edge(activation)(sigma_w, start == "gaussian"))

    @functools.lru_cache(maxsize=64)
    def seen(activation, start, sigma_w):
        return opening(weights(start), activation, sigma_w, x)

    def respond(depth, sigma_w, start, activation):
        if activation == "tanh":
            values = seen(activation, start, sigma_w)
        else:  # f(σz) = σ f(z): the picture moves with the hand
            values = seen(activation, start, 1.0) * sigma_w ** SHOWN[:, None]
        mean, largest = law(activation, start, sigma_w)
        shown = depth >= SHOWN
        picture.update(SHOWN[shown], values[shown], mean, largest)

    sigmas = {("√2" if s == 2**0.5 else f"{s:g}"): s for s in SIGMAS}
    moved = {
        "depth": controls.steps("network.depth", lang, {str(d): int(d) for d in SHOWN[1:]}, 1),
        "sigma_w": controls.steps("orthogonal.sigma_w", lang, sigmas, 1.0),
        "start": controls.choice("orthogonal.start", lang, STARTS, "gaussian"),
        "activation": controls.function(lang, ("identity", "tanh", "relu"), "identity"),
    }
    return picture, moved, respond


MODES = np.array((4.0, 3.0, 2.0, 1.0, 0.5))  # singular values of what is to be learnt, in a space of 8
SIDE, STEP, END = 8, 0.01, 12.0
SMALLS = (1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1)


def course_of_modes(start: str, u0: float, seed: int) -> np.ndarray:
    """Strengths (1 + steps, modes) in W₂W₁ as it learns by gradient descent, from W₂W₁ of size ``u0``.

    Loss ½|T − W₂W₁|², inputs whitened. "aligned": W₁ and W₂ are an orthogonal matrix times √u₀, in T's own
    directions; "random": normal entries of that size.
    """
    rng = np.random.default_rng(seed)
    left, right, inner = (initializers.orthogonal((SIDE, SIDE), rng=rng, dtype=np.float64) for _ in range(3))
    target = (left[:, : len(MODES)] * MODES) @ right[: len(MODES)]
    if start == "aligned":
        first, second = np.sqrt(u0) * inner @ right, np.sqrt(u0) * left @ inner.T
    else:
        first, second = rng.standard_normal((2, SIDE, SIDE)) * np.sqrt(u0 / SIDE)
    found = []
    for _ in range(round(END / STEP) + 1):
        whole = second @ first
        found.append(np.einsum("ik,ij,kj->k", left[:, : len(MODES)], whole, right[: len(MODES)]))
        error = STEP * (target - whole)
        first, second = first + second.T @ error, second + error @ first.T
    return np.array(found)


class OneAfterAnother(plots.Picture):
    """How strong each mode is in what a linear net of two layers has learnt, over time."""

    SHADES = (1.0, 0.8, 0.65, 0.5, 0.35)

    def build(self):
        axes = self.figure.add_axes((0.075, 0.125, 0.9, 0.68))
        axes.set(xlim=(0, END), ylim=(-0.15, 4.6), yticks=range(5))
        axes.set_title(self.text("modes.title"), loc="left")
        axes.set_xlabel(self.text("modes.time"))
        plots.ruled(axes, "y")
        for mode in MODES:
            axes.text(END - 0.1, mode + 0.1, f"s = {mode:g}", ha="right", fontsize=9, color=DIM)
        law = {self.text("modes.line"): plots.line(False)}
        plots.key(self.figure, axes, law, (0.98, 0.88), "upper right")
        measured = {"color": MEASURED, "ms": 5, "mew": 0, "clip_on": False}
        self.points = [self.curve(axes, "o", alpha=shade, **measured) for shade in self.SHADES]
        self.lines = [self.curve(axes, **plots.line(False)) for _ in MODES]
        self.verdict = self.words(0.02, 0.935, size=12)

    def update(self, times, measured, predicted, learnt):
        """``measured`` and ``predicted`` (times, modes), up to the time shown; ``learnt``: past half."""
        for k, (points, line) in enumerate(zip(self.points, self.lines, strict=True)):
            points.set_data(times[::20], measured[::20, k])
            line.set_data(times, predicted[:, k])
        self.verdict.set_text(
            self.text("modes.verdict", time=f"{times[-1]:g}", learnt=learnt, modes=len(MODES))
        )


@live_figure
def modes(*, lang: Language, seed: int = 0):
    """A linear net of two layers learns five modes, of strengths 4, 3, 2, 1 and ½, by gradient descent."""
    picture = OneAfterAnother(lang)
    run = functools.lru_cache(maxsize=32)(functools.partial(course_of_modes, seed=seed))

    def respond(time, u0, start):
        measured = run(start, u0)[: round(time / STEP) + 1]
        times = STEP * np.arange(len(measured))
        # s e^{2st}/(e^{2st} − 1 + s/u₀), over e^{2st}
        rest = np.exp(-2 * MODES * times[:, None])
        predicted = MODES / (1 - rest + MODES / u0 * rest)
        picture.update(times, measured, predicted, int((measured[-1] > MODES / 2).sum()))

    moved = {
        "time": controls.slider("modes.shown", lang, 0.0, END, 0.5, 1.0),
        "u0": controls.steps("modes.u0", lang, {f"{u:g}": u for u in SMALLS}, 1e-3),
        "start": controls.choice("modes.start", lang, ("aligned", "random"), "aligned"),
    }
    return picture, moved, respond


@exercise("09.1", layers=(12, range(5, 45)))
def longest_axis(answer, layers):
    """√((L + 1)^{L+1}/L^L), or √(e(L + ½)), which is as good: 5.83 for twelve layers.

    >>> longest_axis(5.83, 12)
    ('right', {'square': '34', 'root': '5.83'})
    >>> longest_axis([np.sqrt(np.e * 12.5)], 12)
    ('right', {'square': '34', 'root': '5.83'})
    >>> longest_axis(33.98, 12)
    ('square', {'square': '34', 'root': '5.83'})
    >>> longest_axis(1, 12)
    ('mean', {'square': '34', 'root': '5.83'})
    >>> longest_axis(2.0**12, 12)
    ('each', {'square': '34', 'root': '5.83'})
    >>> longest_axis(2.0**-6, 12)
    ('middle', {'square': '34', 'root': '5.83'})
    >>> longest_axis(12, 12)
    ('spread', {'square': '34', 'root': '5.83'})
    >>> longest_axis(13**0.5, 12)
    ('spread', {'square': '34', 'root': '5.83'})
    >>> longest_axis(100, 12)
    ('other', {'square': '34', 'root': '5.83'})
    >>> longest_axis("5.83?", 12)
    ('type', {'wanted': 'float', 'came': 'str'})
    """
    square = float(spectra.largest(layers))
    known = {"right": square**0.5, "square": square, "mean": 1.0, "each": 2.0**layers}
    known |= {"middle": 2.0 ** (-layers / 2)}
    key, fields = answers.nearest(answer, known, rel=0.015)
    if key in ("other", "close"):
        spread = {"a": layers, "b": layers + 1, "c": layers**0.5, "d": (layers + 1) ** 0.5}
        key = "spread" if answers.nearest(answer, spread, rel=0.005)[0] in spread else key
    return key, fields | ({} if key == "type" else {"square": f"{square:.0f}", "root": f"{square**0.5:.2f}"})


@exercise("09.2", narrow=(64, range(32, 129, 8)), wide=(256, range(320, 641, 64)))
def there_and_back(answer, narrow, wide):
    """narrow/wide: the widening matrix keeps the length, and spreads it over more units.

    >>> there_and_back(True, 64, 256)
    ('type', {'wanted': 'float', 'came': 'bool'})
    """
    ratio = narrow / wide
    known = {"right": ratio, "inverse": 1 / ratio, "kept": 1.0, "twice": ratio**2, "root": ratio**0.5}
    key, fields = answers.nearest(answer, known, rel=0.01)
    return key, fields | ({} if key == "type" else {"ratio": f"{ratio:.3g}", "gain": f"{ratio**-0.5:.3g}"})


@exercise("09.3")
def any_rotation(answer):
    """Three hundred orthogonal 8 × 8 matrices, Haar. Each bound is five standard errors or more away.

    >>> any_rotation(np.full((300, 8, 8), np.nan))
    ('independent', {})
    >>> any_rotation("qr")
    ('type', {'wanted': 'array', 'came': 'str'})
    """
    w = answers.numbers(answer)
    if w is None or w.ndim == 0:
        return answers.mistyped(answer, "array")
    if w.shape != (300, 8, 8):
        return "shape", {"shape": w.shape}
    squares = w @ w.swapaxes(1, 2)
    size = squares[:, range(8), range(8)].mean()
    if not (size > 0 and np.abs(squares - size * np.eye(8)).max() <= 1e-3 * size):
        return "independent", {}
    if abs(size - 1) > 1e-3:
        return "gain", {"size": f"{size:.3g}"}
    different = len(np.unique(w.round(3), axis=0))
    if different == 1:
        return "copies", {"different": 1}
    fourth = (w**4).mean() * 8 * 10 / 3  # 1 under Haar, known to 0.02
    if abs(fourth - 1) > 0.2:
        return "permutations", {}
    if different < 300:
        return "copies", {"different": different}
    lean = np.abs(w.mean(axis=0)).max()  # each entry is known to 0.02
    if lean > 0.12:
        return "signs", {"lean": f"{lean:.2f}"}
    if not 0.35 < (np.linalg.det(w) > 0).mean() < 0.65:
        return "rotations", {}
    return "right", {}
