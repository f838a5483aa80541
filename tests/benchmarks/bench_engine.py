"""``measure`` beside the same statistics by hooks in PyTorch, ``predict`` and ``train`` by the clock.

    make bench

50 layers × 512 units × 256 inputs, float32, two threads each, in turns, so that a busy machine slows both;
the ratio is the median over the pairs. The times at the end are this machine's, to be taken as such.
"""

import argparse
import statistics
import time

import numpy as np
import torch

import initkit as ik

DEPTH, WIDTH, BATCH = 50, 512, 256


def seconds(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def with_hooks(net: ik.MLP, x, y):
    """The same network in PyTorch, and a function that gathers what ``measure`` does, layer by layer."""
    layers = []
    for weight, bias in zip(net.weights, net.biases, strict=True):
        linear = torch.nn.Linear(weight.shape[1], weight.shape[0])
        linear.weight.data, linear.bias.data = torch.from_numpy(weight), torch.from_numpy(bias)
        layers += [linear, torch.nn.ReLU()]
    model = torch.nn.Sequential(*layers[:-1])
    x, y = torch.from_numpy(x.copy()).requires_grad_(), torch.from_numpy(y)
    found = {}

    def seen(name, values):
        found.setdefault(name, []).append(values.item())

    def of_linear(_module, _inputs, z):
        z = z.detach()
        seen("q", z.square().mean())
        total = torch.nn.functional.normalize(z).sum(0)
        seen("correlation", (total @ total - len(z)) / (len(z) * (len(z) - 1)))

    def of_relu(_module, _inputs, a):
        a = a.detach()
        flat = a <= 0
        seen("activation_mean", a.mean())
        seen("activation_var", a.var(unbiased=False))
        seen("saturated", flat.float().mean())
        seen("dead", flat.all(dim=0).float().mean())

    def back(_module, _grad_in, grad_out):
        seen("grad_var", grad_out[0].square().mean())

    for module in model:
        if isinstance(module, torch.nn.Linear):
            module.register_forward_hook(of_linear)
            module.register_full_backward_hook(back)
        else:
            module.register_forward_hook(of_relu)

    def gather():
        found.clear()
        model.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y, reduction="sum").backward()
        return {name: np.array(values) for name, values in found.items()}

    return gather


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(2)
    rng = np.random.default_rng(0)
    net = ik.MLP([WIDTH] * DEPTH + [10], "relu", "he_normal", rng=rng)
    x = rng.standard_normal((BATCH, WIDTH)).astype(np.float32)
    y = rng.integers(10, size=BATCH)
    gather = with_hooks(net, x, y)

    ours, theirs = ik.measure(net, x, y), gather()
    np.testing.assert_allclose(ours.q, theirs["q"], rtol=1e-4)
    np.testing.assert_allclose(ours.grad_var, theirs["grad_var"][::-1], rtol=1e-3)
    np.testing.assert_allclose(ours.correlation, theirs["correlation"], atol=1e-4)
    np.testing.assert_allclose(ours.dead[:-1], theirs["dead"])

    pairs = []
    for i in range(repeats + 1):
        mine, other = seconds(lambda: ik.measure(net, x, y)), seconds(gather)
        if i:  # the first one warms up
            pairs.append((mine, other))
    ratio = statistics.median(other / mine for mine, other in pairs)
    mine, other = (statistics.median(column) * 1e3 for column in zip(*pairs, strict=True))
    print(f"measure, {DEPTH} layers × {WIDTH} × {BATCH}, with gradients: {mine:.0f} ms, hooks {other:.0f} ms")
    print(f"measure: {ratio:.2f} times as fast as PyTorch's hooks (at least 1, aim 1.5)")

    for a in ik.activations.NAMES:  # at σ_w = 1 and 1.5 they fade, explode, or creep towards a fixed point
        took = [
            [seconds(lambda a=a, s=s: ik.predict(1000, 512, a, s)) for _ in range(15)] for s in (1.0, 1.5)
        ]
        first, slower = took[0][0] * 1e3, max(statistics.median(row) for row in took) * 1e3
        print(f"predict, 1,000 layers, {a}: {slower:.1f} ms (aim: below 50), at first {first:.1f} ms")

    data = ik.datasets.digits()
    deep = [ik.MLP([64, *[128] * 29, 10], "relu", "he_normal", rng=0) for _ in range(3)]
    took = statistics.median(seconds(lambda n=n: ik.train(n, data, lr=0.01, epochs=12, rng=0)) for n in deep)
    print(f"train, 30 layers × 128 on the digits, 12 epochs: {took:.2f} s (aim: below 2)")


if __name__ == "__main__":
    main()
