"""Pictures of clips and of what the cache holds of them."""
