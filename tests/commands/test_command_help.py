"""What a command says of itself, and of what was misspelt."""

import logging
import os
from pathlib import Path

import pytest

from mmemo.cli import COMMANDS
from mmemo.commands.command_help import EXAMPLES, command_help, did_you_mean
from mmemo.commands.launch import forget_empty_variables
from mmemo.commands.quiet_warnings import quiet_warnings
from mmemo.commands.setting_meanings import Meaning, meanings
from mmemo.errors import InputError
from mmemo.folders import config_dir
from tests.commands.conftest import Cli


def shown(command: str, *arguments: str) -> list[str]:
    return command_help(command, COMMANDS[command], arguments, config_dir()).splitlines()


def test_comments_belong_to_their_settings(tmp_path: Path) -> None:
    (tmp_path / "bake.yaml").write_text(
        "defaults:\n  - oven: gas\n\n# First line,\n# second line.\nheat: 3  # in hundreds\n"
        "tin:\n  round: true  # or square\n\nunsaid: 1\n"
    )
    oven = tmp_path / "oven"
    oven.mkdir()
    (oven / "gas.yaml").write_text(
        "# Burns.\ndefaults:\n  - plain\n  - _self_\n\n_target_: a.B\nname: '#1'  # on its door\n"
    )
    (oven / "plain.yaml").write_text("# Any.\n_target_: a.A\nshelves: 2  # at most\n")
    (oven / "electric.yaml").write_text("_target_: a.C\nvolts: 230\nunsaid: 4  # no word of gas\n")
    assert meanings(tmp_path, "bake", {"oven": "gas"}) == {
        "heat": Meaning(("First line,", "second line."), "in hundreds"),
        "tin.round": Meaning((), "or square"),
        "oven": Meaning(("Burns.",)),
        "oven.name": Meaning((), "on its door"),
        "oven.shelves": Meaning((), "at most"),
    }


def test_help_lists_what_the_command_reads_and_nothing_else() -> None:
    compare = shown("compare")
    assert "  folders: ???" in "\n".join(compare)
    assert not any("audio_encoder" in line for line in compare)
    options = compare.index(next(line for line in compare if line.startswith("options")))
    assert compare[options + 1 : options + 3] == [
        "  metrics: none (now none)",
        "  subgroups: default (now default)",
    ]
    prepare = "\n".join(shown("prepare"))
    assert "  denoiser: deepfilternet2, deepfilternet3, off (now deepfilternet2)\n" in prepare
    assert "fusion" not in prepare
    assert "_target_:" not in prepare


def test_help_tells_meanings_and_what_was_typed() -> None:
    lines = shown("train", "experiment=demo", "audio_encoder=whisper_tiny", "seed=1,2")
    text = "\n".join(lines)
    assert "max_epochs: 60" in text, "the demo's"
    assert "(now whisper_tiny)" in text
    (padding,) = (place for place, line in enumerate(lines) if line == "  padding: longest")
    assert lines[padding - 1].endswith("fixed: all to data.max_duration_s")
    (rate,) = (line for line in lines if line.startswith("    lr: 0.002"))
    assert rate.endswith("# the encoders' own: module.encoder_learning_rate")
    # The bottleneck of another fusion has a meaning that this one's has not.
    (dim,) = (line for line in lines if line.startswith("    bottleneck_dim: 64"))
    assert "#" not in dim


def test_several_options_of_a_group_have_their_meanings() -> None:
    lines = shown("explain", "run=RUN", "methods=[lime,grad_cam]")
    text = " ".join("\n".join(lines).split())
    assert " methods: attention_rollout, grad_cam, integrated_gradients, kernel_shap" in text
    assert "(now grad_cam, lime)" in text
    (samples,) = (line for line in lines if line.startswith("    num_samples: 500"))
    assert samples.endswith("# passes of each utterance")
    assert not any("n_steps" in line for line in lines)
    typed = ["run=RUN", "methods=[lime,grad_cam]", "lime.num_samples=20"]
    assert did_you_mean("explain", typed, config_dir()) == []
    hints = did_you_mean("explain", [*typed, "lime.num_sample=20"], config_dir())
    assert hints == ["lime.num_sample=20: did you mean lime.num_samples=20?"]
    (hint,) = did_you_mean("explain", ["run=RUN", "methods=[lime,lemon]"], config_dir())
    assert hint.startswith("methods=[lime,lemon]: did you mean methods=[…] of attention_rollout")


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_are_of_the_command_and_compose(command: str) -> None:
    for example in EXAMPLES[command]:
        program, name, *arguments = example.partition("  ")[0].split()
        assert (program, name) == ("mmemo", command)
        typed = [argument for argument in arguments if "=" in argument]
        assert did_you_mean(command, typed, config_dir()) == []
        assert shown(command, *typed)


def test_help_of_what_does_not_compose_is_an_error() -> None:
    with pytest.raises(InputError, match="optimizer.learning_rate"):
        shown("train", "optimizer.learning_rate=1")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("experiment=dmo", "experiment=demo"),
        ("fusion.botleneck_dim=3", "fusion.bottleneck_dim=3"),
        ("lr=3", "optimizer.lr=3"),
        ("trainer.patience=3", "callbacks.early_stopping.patience=3"),
        ("optimizer.rate=2", "optimizer.lr=2 or optimizer.weight_decay=2 or optimizer.fused=2"),
        ("audio_encodr=none", "audio_encoder=none"),
        ("text_encoder.vocabsize=9", "text_encoder.vocab_size=9"),
    ],
)
def test_what_was_meant(typed: str, meant: str) -> None:
    arguments = ["-m", "text_encoder=scratch", "+mine=4", "modality=audio,text", typed]
    hint = f"{typed}: did you mean {meant}?"
    assert did_you_mean("train", arguments, config_dir()) == [hint]


def test_what_was_meant_stands_behind_hydras_error(cli: Cli) -> None:
    for sweep in ([], ["-m", "seed=1,2"]):
        printed = cli("train", "experiment=demo", *sweep, "optimizer.lrr=1", expect=1)
        assert "lrr" in printed.stderr.partition("mmemo: optimizer.lrr=1")[0]
        assert printed.stderr.endswith("mmemo: optimizer.lrr=1: did you mean optimizer.lr=1?\n")
    assert "did you mean train?" in cli("trian", expect=2).stdout


def test_a_folder_without_the_name_of_its_option(cli: Cli, tmp_path: Path) -> None:
    run = tmp_path / "outputs" / "run"
    run.mkdir(parents=True)
    (run / "run.json").write_text("{}")
    printed = cli("explain", "outputs/run", expect=1)
    assert "outputs/run: did you mean run=outputs/run?" in printed.stderr


def test_empty_variables_are_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "WANDB_MODE": "",
        "WANDB_PROJECT": "x",
        "MMEMO_CACHE": "",
        "ELSE": "",
    }.items():
        monkeypatch.setenv(name, value)
    forget_empty_variables()
    assert "WANDB_MODE" not in os.environ
    assert "MMEMO_CACHE" not in os.environ
    assert os.environ["WANDB_PROJECT"] == "x"
    assert os.environ["ELSE"] == ""


def test_advertisements_are_hidden(
    recwarn: pytest.WarningsRecorder, caplog: pytest.LogCaptureFixture
) -> None:
    import warnings

    quiet_warnings(is_training=False)
    warnings.warn(
        "The number of training batches (3) is smaller than the logging interval", stacklevel=1
    )
    warnings.warn("The 'predict_dataloader' does not have many workers which …", stacklevel=1)
    warnings.warn("the loss is large", stacklevel=1)
    assert [str(found.message) for found in recwarn] == ["the loss is large"]
    logger = logging.getLogger("lightning.pytorch.utilities.rank_zero")
    logger.info("Tip: try installing litlogger")
    logger.warning("something went wrong")
    assert [record.message for record in caplog.records] == ["something went wrong"]


def test_a_group_of_which_several_are_chosen_is_shown() -> None:
    lines = shown("stress")
    assert "  conditions: channel, modality, noise, recordings, words" in lines
