"""What a recipe asks for, and what of it the cache lacks."""
