"""Forward passes: integer arrays in, float32 logits out."""
