"""Tuned models in the forms that servers take: merged generators, encoders for ONNX Runtime and OpenVINO, and a hub.

What is converted is measured against what was tuned before anything is written. Importing this package imports no
runtime.
"""
