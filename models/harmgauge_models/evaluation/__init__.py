"""Measures how well a bundle detects harm, on corrupted and attacked inputs, and puts the report into the bundle."""
