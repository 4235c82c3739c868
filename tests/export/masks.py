"""Masks to draw from: for tests that compare the graph's own parts with other roads."""

import numpy as np
from hypothesis import strategies as st

masks = st.tuples(
    st.integers(1, 7), st.integers(1, 9), st.integers(1, 11), st.floats(0, 1), st.integers(0, 2**31)
).map(lambda drawn: np.random.default_rng(drawn[4]).random(drawn[:3]) < drawn[3])
