"""The C library's option is there where the library is glibc, and missing it is no error."""

import platform

from tasks.faces.limits import return_large_blocks


def test_large_blocks_go_back_on_glibc_and_elsewhere_nothing_is_changed() -> None:
    assert return_large_blocks() == (platform.libc_ver()[0] == "glibc")
