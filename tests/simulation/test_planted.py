"""The faults to plant fit the code as it is."""

from pathlib import Path

import pytest

from tests.simulation.planted import FAULTS, Fault
from tests.simulation.planting import ROOT


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_replaces_one_passage_with_other_code(fault: Fault, tmp_path: Path) -> None:
    copy = tmp_path / fault.path
    copy.parent.mkdir(parents=True)
    copy.write_text((ROOT / fault.path).read_text())

    fault.plant(tmp_path)

    planted = copy.read_text()
    compile(planted, fault.path, "exec")
    assert planted != (ROOT / fault.path).read_text()


def test_no_two_faults_have_one_name() -> None:
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
