"""Record what PyTorch and JAX make of their initializers, so that the tests need neither: `make frameworks`.

For every scheme and shape: the fans that the framework computes and the moments of a sample; and PyTorch's
gains. They go to tests/unit/frameworks.json. Needs torch, jax and jaxlib.
"""

import json
import math
from pathlib import Path

import jax
import numpy as np
import torch

TARGET = Path(__file__).parents[1] / "tests" / "unit" / "frameworks.json"
SHAPES = [(300, 200), (96, 64, 7), (64, 48, 3, 5), (32, 24, 3, 3, 3)]
TORCH = {
    "xavier_uniform": torch.nn.init.xavier_uniform_,
    "xavier_normal": torch.nn.init.xavier_normal_,
    "he_uniform": lambda t: torch.nn.init.kaiming_uniform_(t, nonlinearity="relu"),
    "he_normal": lambda t: torch.nn.init.kaiming_normal_(t, nonlinearity="relu"),
    "he_normal fan_out": lambda t: torch.nn.init.kaiming_normal_(t, mode="fan_out", nonlinearity="relu"),
    "torch_default": lambda t: torch.nn.init.kaiming_uniform_(t, a=math.sqrt(5)),
    "orthogonal": torch.nn.init.orthogonal_,
}
JAX = {
    "xavier_uniform": jax.nn.initializers.glorot_uniform,
    "he_uniform": jax.nn.initializers.he_uniform,
    "lecun_uniform": jax.nn.initializers.lecun_uniform,
    "xavier truncated": jax.nn.initializers.glorot_normal,
    "he truncated": jax.nn.initializers.he_normal,
    "lecun truncated": jax.nn.initializers.lecun_normal,
}


def moments(w) -> dict:
    w = np.asarray(w, np.float64).ravel()
    return {"mean": w.mean(), "var": w.var(), "fourth": (w**4).mean() / w.var() ** 2, "max": abs(w).max()}


def main() -> None:
    torch.manual_seed(0)
    records = []
    for shape in SHAPES:
        fan_in, fan_out = torch.nn.init._calculate_fan_in_and_fan_out(torch.empty(shape))
        for name, fill in TORCH.items():
            record = {"framework": "torch", "scheme": name, "shape": shape, "fans": [fan_in, fan_out]}
            records.append(record | moments(fill(torch.empty(shape)).numpy()))
        turned = (*shape[2:], shape[1], shape[0])  # JAX's layout: kernel, in, out
        fan_in, fan_out = jax._src.nn.initializers._compute_fans(turned)
        for i, (name, make) in enumerate(JAX.items()):
            fans = [int(fan_in), int(fan_out)]
            record = {"framework": "jax", "scheme": name, "shape": turned, "fans": fans}
            records.append(record | moments(make()(jax.random.key(i), turned)))
    gains = {
        name: torch.nn.init.calculate_gain(name)
        for name in ("linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu")
    }
    versions = {"torch": torch.__version__, "jax": jax.__version__}
    head = f'"versions": {json.dumps(versions)},\n "torch_gains": {json.dumps(gains)}'
    lines = ",\n  ".join(json.dumps(record) for record in records)
    TARGET.write_text(f'{{{head},\n "records": [\n  {lines}\n]}}\n', encoding="utf-8")
    print(f"{len(records)} records with {versions}")


if __name__ == "__main__":
    main()
