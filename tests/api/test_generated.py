"""What is generated from proto/ is what `make proto` makes of it now."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
GENERATED = Path("billing/api/generated/perennial/v1")


def protoc_arguments() -> list[str]:
    """Return what `make proto` runs, as the Makefile says it."""
    makefile = (ROOT / "Makefile").read_text()
    target = re.search(r"^proto:.*?\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    assert target is not None
    words = target[1].replace("\\\n", " ").split()
    return words[words.index("-m") :]


def test_the_generated_code_is_that_of_the_proto_files(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "proto", tmp_path / "proto")

    subprocess.run([sys.executable, *protoc_arguments()], cwd=tmp_path, check=True)

    made = sorted((tmp_path / GENERATED).iterdir())
    assert [file.name for file in made] == [
        "payments_pb2.py", "payments_pb2.pyi", "payments_pb2_grpc.py",
        "subscriptions_pb2.py", "subscriptions_pb2.pyi", "subscriptions_pb2_grpc.py",
        "taxes_pb2.py", "taxes_pb2.pyi", "taxes_pb2_grpc.py",
        "usage_pb2.py", "usage_pb2.pyi", "usage_pb2_grpc.py",
    ]  # fmt: skip
    for file in made:
        kept = (ROOT / GENERATED / file.name).read_text()
        assert kept == file.read_text(), f"{file.name} is stale: run `make proto`"
