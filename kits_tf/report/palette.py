"""Colours that colour-blind readers can tell apart (Okabe and Ito 2008), on grey pictures and on paper."""

KIDNEY = "#56B4E9"
TUMOR = "#E69F00"
REFERENCE_KIDNEY = "#FFFFFF"
REFERENCE_TUMOR = "#F0E442"
BACKGROUND = "#000000"
TEXT = "#F2F2F2"
