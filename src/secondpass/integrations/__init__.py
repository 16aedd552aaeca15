"""Guests in the frameworks that people already run: one file each, which imports its host inside."""
