"""Proves that a card says what a model takes, and keeps the card of the weights with its warning first."""

from kits_tf.export import card
from tests.tiny import tiny_configs


def test_a_card_without_a_card_of_the_weights(tmp_path):
    text = card.render("tumor", tmp_path, tiny_configs(), "onnx")
    assert text.startswith("Not a medical device") and "# tumor" in text and "as onnx" in text
    assert "[-200, 400]" in text and "The card of the weights" not in text


def test_the_card_of_the_weights_is_kept_and_its_warning_comes_first(tmp_path):
    (tmp_path / card.CARD_NAME).write_text("**Trained on simulations alone.**\n\n# Weights\n\nHow they were made.\n")
    text = card.render("system", tmp_path, tiny_configs(), "saved_model")
    assert text.startswith("**Trained on simulations alone.**")
    assert "### Weights" in text and text.rstrip().endswith("How they were made.")
    for signature in ("serving_default", "compact", "probabilities", "measurements"):
        assert f"`{signature}`" in text
