"""In Slurm's processes one alone answers the signals: mmemo's interruption, not Lightning."""

from __future__ import annotations

import signal

import pytest
from lightning.fabric.plugins.environments import LightningEnvironment, SLURMEnvironment

from mmemo.runs.trainer import build_trainer
from mmemo.training.slurm_processes import slurm_environment
from tests.test_configs import composed


@pytest.fixture
def alone_in_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    """What srun tells the one process of a step."""
    for name, value in {
        "SLURM_JOB_ID": "10007",
        "SLURM_JOB_NAME": "train",
        "SLURM_NTASKS": "1",
        "SLURM_NTASKS_PER_NODE": "1",
        "SLURM_NNODES": "1",
        "SLURM_NODELIST": "127.0.0.1",
        "SLURM_LOCALID": "0",
        "SLURM_NODEID": "0",
        "SLURM_PROCID": "0",
    }.items():
        monkeypatch.setenv(name, value)


def test_lightning_requeues_no_job(
    alone_in_slurm: None, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = build_trainer(composed(["experiment=demo", "trainer=cpu"]).trainer, None)
    environment = trainer._accelerator_connector.cluster_environment
    assert isinstance(environment, SLURMEnvironment)
    former = signal.getsignal(signal.SIGUSR1)
    with caplog.at_level("INFO"):
        trainer._signal_connector.register_signal_handlers()
    now = signal.getsignal(signal.SIGUSR1)
    trainer._signal_connector.teardown()
    assert now is former, "the signal before the end of a job's time is not Lightning's"
    assert "requeue" not in caplog.text + "".join(capsys.readouterr())


def test_processes_that_mmemo_starts_inside_a_job_are_its_own(alone_in_slurm: None) -> None:
    trainer = build_trainer(composed(["experiment=demo", "trainer=ddp_cpu"]).trainer, None)
    environment = trainer._accelerator_connector.cluster_environment
    assert isinstance(environment, LightningEnvironment)


@pytest.mark.filterwarnings("ignore:The `srun` command is available")
def test_outside_of_slurm_there_is_no_environment() -> None:
    assert slurm_environment() == []
