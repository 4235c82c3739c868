"""The four networks still compute what they computed when `golden.json` was written.

Weights and inputs come from NumPy, so nothing but a change of the networks themselves moves these numbers. Regenerate
them only where such a change is meant, and say in the commit what changed:

    python -m tests.models.test_golden
"""

import json
import pathlib

import numpy as np
import pytest

from tests.models.harness import arrays, batch_of, four_configs, network_of

GOLDEN = pathlib.Path(__file__).with_name("golden.json")
NUM_SAMPLES = 12
CONFIGS = four_configs(depth=2)


def samples(name, config):
    """{output name: a few of its values, evenly spaced}, rounded to what float32 holds."""
    x, _, _ = batch_of(config)
    outputs = arrays(network_of(name, config)(x))
    picks = {key: value.ravel()[:: max(1, value.size // NUM_SAMPLES)][:NUM_SAMPLES] for key, value in outputs.items()}
    return {key: [float(f"{number:.7g}") for number in values] for key, values in picks.items()}


@pytest.mark.parametrize("name", CONFIGS)
def test_outputs_are_the_golden_ones(name):
    expected = json.loads(GOLDEN.read_text(encoding="utf-8"))[name]
    got = samples(name, CONFIGS[name])
    assert got.keys() == expected.keys()
    for key in expected:
        np.testing.assert_allclose(got[key], expected[key], rtol=1e-5, atol=1e-5)


if __name__ == "__main__":
    golden = {name: samples(name, config) for name, config in CONFIGS.items()}
    GOLDEN.write_text(json.dumps(golden).replace("}, ", "},\n") + "\n", encoding="utf-8")
