"""Simulated CTs with kidneys and tumors."""
