"""Ways round within one venue: assets turned into others and at last into the first again."""
