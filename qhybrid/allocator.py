import ctypes
import os

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def keep_freed_memory() -> bool:
    """Tell glibc to keep memory that is freed instead of handing it back to the system.

    A training step at 28x28 frees and asks again for buffers of 50 to 150 MB. Fresh from the
    system, each is zeroed page by page, which takes longer than the arithmetic done in it. To be
    called once, before the first large allocation. It changes the whole process, so it is for
    programs (the command line calls it), not for libraries.

    Returns:
        Whether the C library is glibc, where alone this has an effect.
    """
    try:
        if not (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc"):
            return False
        libc = ctypes.CDLL(None)
        # Never map a block of its own for a large request, and never trim the heap's end.
        return bool(libc.mallopt(_M_MMAP_MAX, 0) and libc.mallopt(_M_TRIM_THRESHOLD, -1))
    except (AttributeError, OSError, ValueError):
        return False
