"""Measures how well a bundle detects harm on corrupted and attacked inputs, and adds the report to the bundle."""
