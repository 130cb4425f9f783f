"""One's own videos: folders of classes, or a CSV list."""
