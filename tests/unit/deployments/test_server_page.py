"""docs/server.md: its script makes every secret that the public server's compose files ask for."""

import re
import subprocess
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "server.md").read_text("utf-8")
COMPOSE = ("compose.yaml", "compose.public.yaml")


def read_env(file: Path) -> dict[str, str]:
    return dict(re.findall(r"^([A-Z0-9_]+)='?([^'\n]*)'?$", file.read_text("utf-8"), re.MULTILINE))


def test_the_script_fills_in_all_that_compose_asks_for(tmp_path: Path) -> None:
    (script,) = re.findall(r"test_server_page\.py -->\n```bash\n(.*?)```", PAGE, re.DOTALL)
    folder = tmp_path / "deployments"
    folder.mkdir()
    (folder / ".env.example").write_text((ROOT / "deployments/.env.example").read_text("utf-8"))
    script = script.replace("/srv/facepass/deployments", str(folder))
    told = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, check=True)

    values = read_env(folder / ".env")
    texts = [(ROOT / "deployments" / name).read_text("utf-8") for name in COMPOSE]
    asked = {name for text in texts for name in re.findall(r"\$\{([A-Z0-9_]+):\?", text)}
    assert {name for name in asked if not values.get(name)} == set()
    secrets = [values[name] for name in asked if re.fullmatch("[0-9a-f]{48}", values[name])]
    assert len(secrets) == len(set(secrets)) == 8
    key = told.stdout.removeprefix("Your key: ").strip()
    assert values["FACEPASS_API_KEYS"] == f"anna:{sha256(key.encode()).hexdigest()}"
    assert (folder / ".env").stat().st_mode & 0o777 == 0o600


def test_what_the_page_names_is_there() -> None:
    files = {*re.findall(r"(?<!unit/)deployments/[\w./-]*\w", PAGE)} - {"deployments/.env"}
    assert {file for file in files if not (ROOT / file).exists()} == set()
    compose = (ROOT / "deployments" / "compose.public.yaml").read_text("utf-8")
    for named in ("172.30.253.0/29", "FACEPASS_TRUSTED_PROXIES", "front"):
        assert named in PAGE
        assert named in compose
