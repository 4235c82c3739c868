"""Colours that colour-blind readers can tell apart (Okabe and Ito 2008), on grey pictures and on paper.

The prediction is coloured and the reference white; false positives have the colour of the prediction.
"""

KIDNEY = "#56B4E9"
TUMOR = "#E69F00"
REFERENCE = "#FFFFFF"
MISSED = "#D55E00"
EXTRA = KIDNEY
BACKGROUND = "#000000"
TEXT = "#F2F2F2"
