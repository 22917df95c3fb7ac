from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bootstrap.sandbox import Node, web


@pytest.fixture
def node(tmp_path: Path) -> Node:
    node = Node(tmp_path / "node", tmp_path / "node" / "home")
    node.folder.mkdir()
    if os.geteuid() != 0:
        # A node of EMR lets its user do so without a password.
        node.provide("sudo", 'shift; exec "$@"')
    return node


@pytest.fixture
def full_node(node: Node) -> Iterator[Node]:
    """A node with room for 64 KB: on a disk of that size, or else by a limit on files."""
    node.home.mkdir()
    disk = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(node.home)]
    mounted = os.geteuid() == 0 and subprocess.run(disk, check=False).returncode == 0
    if not mounted:
        node.limit = "trap '' XFSZ; ulimit -f 64;"
    yield node
    if mounted:
        subprocess.run(["umount", "-l", str(node.home)], check=True)


@pytest.fixture
def shelf(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the URL where it is served."""
    folder = tmp_path / "shelf"
    folder.mkdir()
    with web(folder) as url:
        yield folder, url
