"""How well a bundle tells harm: measured on corrupted and attacked pictures, reported, and put into the bundle."""
