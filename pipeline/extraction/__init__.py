"""Stage one: videos to cached features."""
