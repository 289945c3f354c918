"""Sizing, time-outs and forecasts."""
