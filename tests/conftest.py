from __future__ import annotations

import copy
import csv
import gc
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra._internal.config_repository import ConfigRepository
from hydra.plugins.config_source import ConfigResult

from mmemo.commands.launch import config_dir
from mmemo.corpora.demo_clips import write_clip
from mmemo.corpora.meld import COLUMNS
from mmemo.corpora.meld_raw import LAYOUT
from mmemo.corpora.utterance import LabelSet
from tests.forking import Forking
from tests.tiny_recogniser import write_recogniser

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As in a terminal, also where a shell has started the tests in the background.
    signal.signal(signal.SIGINT, signal.default_int_handler)

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["WANDB_MODE"] = "offline"
# Tensors this small are slower on several threads, the more so on a busy machine; and sums over
# another number of threads differ in their last digit, so that processes of their own have one too.
os.environ["OMP_NUM_THREADS"] = "1"
torch.set_num_threads(1)

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
CLIP_RATE = 48_000
FIVE = ("anger", "joy", "neutral", "sadness", "surprise")

Row = dict[str, str]


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Let a process of ``-n`` that has no tests left take over some of another's."""
    if config.getoption("numprocesses", None) and config.option.dist == "no":
        config.option.dist = "worksteal"


def pytest_collection_finish() -> None:
    """Let no collection of garbage go through what the imports have made, which stays."""
    gc.collect()
    gc.freeze()


def tone(frequency_hz: float, duration_s: float, rate: int = CLIP_RATE) -> np.ndarray:
    """(T,) sine of amplitude 0.3."""
    time_s = np.arange(round(duration_s * rate)) / rate
    return (0.3 * np.sin(2 * np.pi * frequency_hz * time_s)).astype(np.float32)


def write_csv(path: Path, rows: list[Row], columns: tuple[str, ...] = COLUMNS) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore", restval="")
        writer.writeheader()
        writer.writerows(rows)


def meld_row(dialogue_id: int, utterance_id: int, emotion: str, text: str = "Hello there.") -> Row:
    return {
        "Sr No.": "1",
        "Utterance": text,
        "Speaker": "Ada",
        "Emotion": emotion,
        "Sentiment": "neutral",
        "Dialogue_ID": str(dialogue_id),
        "Utterance_ID": str(utterance_id),
        "Season": "1",
        "Episode": "2",
        "StartTime": "00:00:01,500",
        "EndTime": "00:00:02,000",
    }


@pytest.fixture(scope="session", autouse=True)
def configs_are_read_once() -> Iterator[None]:
    """What Hydra reads of conf/ is kept, which it would read anew for every composition."""
    read = ConfigRepository.load_config
    kept: dict[str, ConfigResult | None] = {}

    def load(repository: ConfigRepository, config_path: str) -> ConfigResult | None:
        folders = {s.path for s in repository.get_sources() if s.scheme() == "file"}
        if folders != {str(config_dir())}:
            return read(repository, config_path)
        if config_path not in kept:
            kept[config_path] = read(repository, config_path)
        return copy.deepcopy(kept[config_path])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ConfigRepository, "load_config", load)
        yield


def write_meld(root: Path, per_split: int, duration_s: float, clips: bool) -> None:
    """A MELD.Raw tree of tones: a few utterances of five classes in every split."""
    for split_index, layout in enumerate(LAYOUT.values()):
        (root / layout.clips).mkdir(parents=True)
        rows = []
        for index in range(per_split):
            emotion = FIVE[index % len(FIVE)]
            rows.append(meld_row(0, index, emotion, f"Sentence {index} of {emotion}."))
            if clips:
                # Each clip has a sound of its own: copies in two splits are refused.
                pitch_hz = 200.0 + 100 * (index % len(FIVE)) + 10 * split_index
                pitch_hz += 0.5 * (index // len(FIVE))
                path = root / layout.clips / f"dia0_utt{index}.mp4"
                samples = tone(pitch_hz, duration_s)[None]
                write_clip(path, samples, CLIP_RATE, "mono", (0, 0, 0))
        write_csv(root / layout.annotations, rows)


MeldMaker = Callable[..., Path]


@pytest.fixture(scope="session")
def meld_maker(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., None]:
    """Copies a tree of ``write_meld``, which encodes the clips of each kind once."""
    made: dict[tuple[int, float, bool], Path] = {}

    def make(root: Path, *kind: Any) -> None:  # noqa: ANN401
        if kind not in made:
            made[kind] = tmp_path_factory.mktemp("meld")
            write_meld(made[kind], *kind)
        shutil.copytree(made[kind], root)

    return make


@pytest.fixture
def make_meld(tmp_path: Path, meld_maker: Callable[..., None]) -> MeldMaker:
    """Makes a MELD.Raw tree in the test's folder, with sound or without."""

    def make(
        name: str = "meld", per_split: int = 5, duration_s: float = 0.3, clips: bool = True
    ) -> Path:
        meld_maker(tmp_path / name, per_split, duration_s, clips)
        return tmp_path / name

    return make


@pytest.fixture
def five() -> LabelSet:
    return LabelSet("five", dict.fromkeys(FIVE, "#000000"))


@pytest.fixture(scope="session")
def forking() -> Forking:
    """Starts processes of their own without the time of imports."""
    return Forking()


@pytest.fixture(scope="session")
def shared_data() -> Iterator[Path]:
    if not SHARED_DATA.is_dir():
        pytest.skip("needs the project's shared data folder")
    yield SHARED_DATA


TINY_SPEECH: dict[str, Any] = {
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": (16, 16),
    "conv_kernel": (10, 3),
    "conv_stride": (5, 2),
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "num_feat_extract_layers": 2,
}


@pytest.fixture(scope="session")
def tiny_wavlm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import WavLMConfig, WavLMModel

    folder = tmp_path_factory.mktemp("wavlm")
    torch.manual_seed(0)
    WavLMModel(WavLMConfig(**TINY_SPEECH, feat_extract_norm="group")).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_wav2vec2_layer_norm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    folder = tmp_path_factory.mktemp("wav2vec2")
    torch.manual_seed(0)
    config = Wav2Vec2Config(**TINY_SPEECH, feat_extract_norm="layer", do_stable_layer_norm=True)
    Wav2Vec2Model(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_roberta(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import RobertaConfig, RobertaModel, RobertaTokenizerFast

    folder = tmp_path_factory.mktemp("roberta")
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    trainer = trainers.BpeTrainer(vocab_size=300, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(["I'm fine.", "You are here, my friend!"], trainer)
    fast = RobertaTokenizerFast(tokenizer_object=tokenizer)
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = RobertaConfig(
        vocab_size=len(fast),
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=70,
        pad_token_id=1,
    )
    RobertaModel(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_whisper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Whisper that hears 2 s, saved in half precision."""
    from transformers import WhisperConfig, WhisperModel

    folder = tmp_path_factory.mktemp("whisper")
    torch.manual_seed(0)
    config = WhisperConfig(
        d_model=16,
        encoder_layers=2,
        encoder_attention_heads=2,
        encoder_ffn_dim=24,
        decoder_layers=1,
        decoder_attention_heads=2,
        decoder_ffn_dim=24,
        vocab_size=40,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
        max_source_positions=100,
        max_target_positions=8,
    )
    WhisperModel(config).half().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_recogniser(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random Whisper in a folder, as ``asr.checkpoint`` names one."""
    return write_recogniser(tmp_path_factory.mktemp("recogniser"))
