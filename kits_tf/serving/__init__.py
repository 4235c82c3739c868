"""Serving: TensorFlow Serving's configuration for the exported system, and a client for REST and gRPC."""
