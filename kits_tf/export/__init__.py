"""Export: networks as SavedModel, OpenVINO and ONNX, and the whole two-stage system as one SavedModel."""
