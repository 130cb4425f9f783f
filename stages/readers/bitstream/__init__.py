"""What a video's bitstream says about the order of its frames, without decoding them."""
