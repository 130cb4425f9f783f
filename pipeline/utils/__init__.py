"""What several rooms need and none owns: progress, signals, text, hardware."""
