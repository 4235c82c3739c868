"""What the exported models take and give, in words, for their cards."""

NETWORK_INPUTS = {
    "kidney": """Stage 1, {plane}: takes `slab`, float32 [batch, height, width, 3], three adjacent slices of any size,
HU clipped to [{low:g}, {high:g}] and scaled linearly to [0, 1]. Gives `probability`, float32 [batch, height, width],
of kidney (with tumor) in the middle one, and what the second head rebuilds of the input.
""",
    "tumor": """Stage 2: takes `block`, float32 [batch, slices, rows, columns, 1], a sub-block of a kidney's cube of
any size, HU clipped to [{low:g}, {high:g}] and scaled linearly to [0, 1], zero outside the kidney. Gives
`probability`, float32 [batch, slices, rows, columns], of tumor, and what the second head says.
""",
}

SYSTEM_SIGNATURES = """The whole two-stage system; needs TensorFlow alone. Volumes are [slices, rows, columns], slices
from head to foot, rows from front to back, columns from the patient's right to the left; `spacing_mm` is (slice, row,
column), float32 [3], in every signature.

- `serving_default`: takes `volume`, float32 HU, and `spacing_mm`; gives `labels`, uint8 of the same shape: 0
  background, 1 kidney, 2 tumor.
- `compact`: takes `volume_bytes`, the zlib stream of int16 little-endian HU in C order, `shape`, int32 [3], and
  `spacing_mm`; gives `labels_bytes`, the zlib stream of uint8 labels in C order, and `shape`.
- `probabilities`: takes what `serving_default` takes; gives `kidney_probability`, the largest of the planes, and
  `tumor_probability` inside the kidneys found, both float32 of the volume's shape.
- `measurements`: takes what `serving_default` takes; gives ml, float32: `kidney_ml` (label > 0) and `tumor_ml`, and
  by the patient's side `right_kidney_ml`, `left_kidney_ml`, `right_tumor_ml` and `left_tumor_ml`.
"""
