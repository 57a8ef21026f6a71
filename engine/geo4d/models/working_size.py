"""The size at which a network sees footage of another size."""


def closest_size(width: int, height: int, pixels: int, multiple: int) -> tuple[int, int]:
    """(w, h), multiples of ``multiple`` with about ``pixels`` pixels, whose ratio is closest to the footage's.

    What is left of the difference is a horizontal stretch that separate focal lengths in x and y describe exactly.
    """
    ratio = width / height
    longest = int(pixels**0.5) * 4
    sides = range(multiple, longest + multiple, multiple)
    candidates = [(w, h) for w in sides for h in sides]
    near = [size for size in candidates if 0.75 <= size[0] * size[1] / pixels <= 1.25]
    if not near:
        raise ValueError(f"no working size of about {pixels} pixels for {width} x {height}")

    def stretch(size: tuple[int, int]) -> float:
        off = size[0] / size[1] / ratio
        return max(off, 1 / off) + 0.02 * abs(size[0] * size[1] / pixels - 1)

    return min(near, key=stretch)
