"""The guide's way to TLS and tokens works as it is written."""

import re
from pathlib import Path

from support.certificates import Authority

from shipper.config import load
from shipper.wire.tokens import add

GUIDE = Path(__file__).parents[2] / "docs/guide/security.md"


def test_the_configs_of_the_security_guide_load_without_a_warning(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.issue("server", host="DNS:collector")
    (tmp_path / "token").write_text(add(tmp_path / "tokens", "shop-berlin", "2026-01-31") + "\n")
    blocks = re.findall(r"^```yaml secured\n(.*?)^```$", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    for block in blocks:
        config = tmp_path / "config.yaml"
        config.write_text(block.replace("/etc/shipper", str(tmp_path)))
        assert load([config]).warnings == []
