"""Reading the bits of an H.264 header."""

from __future__ import annotations


class UnprovableOrder(Exception):
    """The display order of a video cannot be proved; says why."""


# Length and value of the Exp-Golomb number that a window of 9 bits begins with, as nearly all of a header are; length 0
# where it is longer.
_LENGTHS = tuple(2 * (9 - window.bit_length()) + 1 for window in range(512))
_SHORT = tuple((n, (window >> 9 - n) - 1) if n <= 9 else (0, 0) for window, n in enumerate(_LENGTHS))


class BitReader:
    """A reader of the bits of one NAL unit's payload, without its emulation prevention bytes (7.4.1)."""

    __slots__ = ("left", "value")

    def __init__(self, payload: bytes) -> None:
        if b"\0\0\3" in payload:
            payload = payload.replace(b"\0\0\3", b"\0\0")
        self.value = int.from_bytes(payload, "big")
        self.left = 8 * len(payload)

    def u(self, n: int) -> int:
        """An unsigned number of n bits."""
        self.left -= n
        if self.left < 0:
            raise UnprovableOrder("a header is cut off")
        return (self.value >> self.left) & ((1 << n) - 1)

    def flag(self) -> bool:
        """One bit."""
        self.left -= 1
        if self.left < 0:
            raise UnprovableOrder("a header is cut off")
        return self.value >> self.left & 1 == 1

    def ue(self, most: int = 0xFFFF) -> int:
        """An unsigned Exp-Golomb number (9.1), at most `most`."""
        if self.left >= 9:
            length, number = _SHORT[self.value >> self.left - 9 & 511]
            if length and number <= most:
                self.left -= length
                return number
        zeros = self.left - (self.value & ((1 << self.left) - 1)).bit_length()
        number = self.u(2 * zeros + 1) - 1
        if number > most:
            raise UnprovableOrder("a header holds a number out of range")
        return number

    def se(self, least: int, most: int) -> int:
        """A signed Exp-Golomb number (9.1.1) between `least` and `most`."""
        code = self.ue(1 << 31)
        number = (code + 1) // 2 if code % 2 else -(code // 2)
        if not least <= number <= most:
            raise UnprovableOrder("a header holds a number out of range")
        return number

    def skip_ue(self, count: int, most: int = 0xFFFF) -> None:
        """Pass over `count` unsigned Exp-Golomb numbers."""
        for _ in range(count):
            self.ue(most)

    def skip_se(self, count: int, least: int, most: int) -> None:
        """Pass over `count` signed Exp-Golomb numbers."""
        for _ in range(count):
            self.se(least, most)
