"""The encoder of Whisper, which takes log-mel spectrograms of a fixed length."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import WhisperFeatureExtractor

from mmemo.data.batch import AudioInput
from mmemo.errors import InputError
from mmemo.models.checkpoints import freeze, load_config, load_model
from mmemo.models.pooling import get_pooling
from mmemo.models.protocols import Features

OPTION = "audio_encoder.checkpoint"


class WhisperAudioEncoder(nn.Module):
    """Whisper's encoder; its decoder is not used.

    Source: Radford et al. 2023, "Robust Speech Recognition via Large-Scale Weak Supervision".
    Every utterance is padded with silence to one length, as in Whisper's own training, so that
    the answer does not depend on the batch; pooling is over frames of real sound.

    Args:
        checkpoint: Name on the hub, or a local folder, in transformers' layout.
        duration_s: Length that sound is padded to: 30 as it was trained, or shorter, which costs
            less; the positions of the first seconds are used then.
        pooling: "mean", "mean_std" or "first".
        trainable: "all", or "none" to train the rest of the classifier alone.
        pretrained: False for random weights of the same architecture.
        assets_dir: Folder of a run with the checkpoint's config; no weights are fetched then.

    Raises:
        InputError: If the checkpoint cannot be loaded, is not Whisper's, or takes less sound.
    """

    mel_filters: Tensor
    window: Tensor

    def __init__(
        self,
        checkpoint: str,
        duration_s: float = 30.0,
        pooling: str = "mean",
        trainable: str = "all",
        pretrained: bool = True,
        assets_dir: str | Path | None = None,
    ) -> None:
        super().__init__()
        config = load_config(assets_dir or checkpoint, OPTION, {})
        if config.model_type != "whisper":
            raise InputError(
                f"{OPTION}: expected a Whisper model, got {config.model_type} in '{checkpoint}'; "
                "choose audio_encoder=wavlm_base_plus or the like for it"
            )
        use_pretrained = pretrained and assets_dir is None
        model = load_model(checkpoint, config, OPTION, use_pretrained, unused=("decoder.",))
        self.model = model.encoder
        self.config = config
        self.extractor: Any = WhisperFeatureExtractor(  # type: ignore[no-untyped-call]
            feature_size=config.num_mel_bins
        )
        self.sample_rate = int(self.extractor.sampling_rate)
        self.hop_samples = int(self.extractor.hop_length)
        self.samples_per_frame = self.hop_samples * self.model.conv2.stride[0]
        self._shorten(round(duration_s * self.sample_rate / self.samples_per_frame))
        self.frozen = freeze(self.model, trainable, "audio_encoder.trainable")
        filters = torch.as_tensor(self.extractor.mel_filters, dtype=torch.float32)
        self.register_buffer("mel_filters", filters, persistent=False)
        self.register_buffer("window", torch.hann_window(self.extractor.n_fft), persistent=False)
        self.pool, factor = get_pooling(pooling)
        self.output_dim = factor * int(config.d_model)
        self.frame_dim = int(config.d_model)
        self.min_samples = 1

    def _shorten(self, num_frames: int) -> None:
        """Keep the positions of the first frames alone."""
        positions = self.model.embed_positions
        if not 0 < num_frames <= positions.num_embeddings:
            longest_s = positions.num_embeddings * self.samples_per_frame / self.sample_rate
            raise InputError(
                f"audio_encoder.duration_s: expected at most the model's {longest_s:g} s and more "
                f"than 0, got {num_frames * self.samples_per_frame / self.sample_rate:g} s"
            )
        positions.weight = nn.Parameter(positions.weight[:num_frames].detach(), False)
        positions.num_embeddings = num_frames
        # A copy: what is saved beside the weights is the checkpoint's own config.
        self.model.config = type(self.config).from_dict(
            self.config.to_dict() | {"max_source_positions": num_frames}
        )
        self.fixed_samples = num_frames * self.samples_per_frame

    def train(self, mode: bool = True) -> WhisperAudioEncoder:
        """Switch dropout, which a frozen model never has."""
        super().train(mode)
        if self.frozen:
            self.model.eval()
        return self

    def preprocess(self, waveform: Tensor) -> Tensor:
        """The waveform as it is."""
        return waveform

    def log_mel(self, waveform: Tensor) -> Tensor:
        """Whisper's log-mel spectrogram: (B, T) to (B, num_mels, T / hop_samples).

        As transformers' feature extractor gives it, for whole batches on any device.
        """
        spectrum = torch.stft(
            waveform,
            self.extractor.n_fft,
            self.hop_samples,
            window=self.window,
            return_complex=True,
        )
        power = spectrum[..., :-1].abs() ** 2
        log_mel = torch.log10((self.mel_filters.T @ power).clamp(min=1e-10))
        loudest = log_mel.amax(dim=(1, 2), keepdim=True)
        return (torch.maximum(log_mel, loudest - 8.0) + 4.0) / 4.0

    def forward(self, audio: AudioInput) -> Features:
        """Encode (B, T) into frames (B, F, D), 50 for each second."""
        frames = self.model(self.log_mel(audio.waveform)).last_hidden_state
        # A frame that has begun counts.
        lengths = (audio.mask.sum(dim=1) - 1) // self.samples_per_frame + 1
        mask = torch.arange(frames.shape[1], device=frames.device) < lengths[:, None]
        return Features(frames, mask, self.pool(frames, mask))

    def save_assets(self, folder: Path) -> None:
        """Write the model's config."""
        self.config.save_pretrained(folder)
