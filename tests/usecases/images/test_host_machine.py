"""Files of an unpacked image, whose links may point anywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from envman.usecases.images.host_machine import inside


@pytest.fixture
def root(tmp_path: Path) -> Path:
    made = tmp_path / "root"
    (made / "usr/lib").mkdir(parents=True)
    (made / "usr/lib/libc.so.6").write_text("c")
    (made / "lib").symlink_to("usr/lib")
    (made / "absolute").symlink_to("/usr/lib/libc.so.6")
    (made / "above").symlink_to("../../../usr/lib/libc.so.6")
    (made / "loop").symlink_to("loop")
    (made / "outside").symlink_to("/etc/passwd")
    return made


@pytest.mark.parametrize(
    "path", ["/usr/lib/libc.so.6", "/lib/libc.so.6", "/absolute", "/above", "/lib/../lib/libc.so.6"]
)
def test_links_are_followed_within_the_image(root: Path, path: str) -> None:
    assert inside(root, path) == root / "usr/lib/libc.so.6"


@pytest.mark.parametrize("path", ["/etc/passwd", "/outside", "/loop", "/usr/lib", "/usr/lib/libc.so.6/x"])
def test_what_is_not_there_is_not_this_machines(root: Path, path: str) -> None:
    assert inside(root, path) is None
