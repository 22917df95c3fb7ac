"""The provider of AWS on this disk, for machines that reach no registry of Terraform."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Final

from marketlake.settings import environment

PROVIDER: Final = "hashicorp/aws"
"""The one provider in use, as folders of a mirror name it."""

_PLACES: Final = ("~/.terraform.d", "/usr/local/share", "/usr/share", "/opt")


def provider_mirror() -> Path | None:
    """Find a folder that holds the provider for this kind of machine, laid out as a mirror.

    ``MARKETLAKE_TERRAFORM_MIRROR`` names one; else the usual places are looked at.
    """
    chosen = environment.terraform_mirror()
    if chosen is not None:
        return chosen if _holds_provider(chosen) else None
    for place in _PLACES:
        root = Path(place).expanduser()
        if not root.is_dir():
            continue
        for folder in sorted(path for path in root.iterdir() if path.is_dir()):
            if _holds_provider(folder):
                return folder
    return None


def _holds_provider(folder: Path) -> bool:
    try:
        return any(folder.glob(f"*/{PROVIDER}/*/{_platform()}")) or any(
            folder.glob(f"*/{PROVIDER}/*_{_platform()}.zip")
        )
    except OSError:
        return False


def _platform() -> str:
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return f"{platform.system().lower()}_{machine}"
