"""`python -m star` and `torchrun … -m star` are the command `star`."""

from .cli import main

if __name__ == "__main__":
    main(prog_name="star")
