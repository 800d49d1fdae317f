from pathlib import Path

import av
import numpy as np
import pytest
import torch

from mmemo.audio.media import MediaError, decode, resample
from mmemo.corpora.demo_clips import write_clip
from tests.conftest import tone

HALF = 0.5**0.5

# ITU-R BS.775 in FFmpeg's channel order (left, right, centre, low frequency, two surrounds),
# scaled so that the weights add up to one.
WEIGHTS = {
    "mono": np.array([1.0]),
    "stereo": np.array([HALF, HALF]) / (2 * HALF),
    "5.1": np.array([HALF, HALF, 1.0, 0.0, 0.5, 0.5]) / (2 * HALF + 1.0 + 1.0),
}


@pytest.mark.parametrize("layout", sorted(WEIGHTS))
def test_every_channel_is_mixed_by_its_weight(tmp_path: Path, layout: str) -> None:
    weights = WEIGHTS[layout]
    frequencies_hz = 300 + 200 * np.arange(len(weights))
    # A low-frequency channel carries nothing above 120 Hz.
    frequencies_hz = np.where(np.arange(len(weights)) == 3, 60, frequencies_hz)
    channels = np.stack([tone(f, 1.0) for f in frequencies_hz])
    write_clip(tmp_path / "clip.mp4", channels, 48_000, layout, (9, 9, 9))
    sound = decode(tmp_path / "clip.mp4")
    assert (sound.sample_rate, sound.channel_layout) == (48_000, layout)
    spectrum = np.abs(np.fft.rfft(sound.waveform.numpy()[:48_000])) / 24_000
    assert spectrum[frequencies_hz] == pytest.approx(0.3 * weights, abs=0.006)


def test_truncated_file_is_corrupt(tmp_path: Path) -> None:
    path = tmp_path / "dia0_utt0.mp4"
    write_clip(path, tone(300, 1.0)[None], 48_000, "mono", (0, 0, 0))
    path.write_bytes(path.read_bytes()[:-600])
    with pytest.raises(MediaError, match="dia0_utt0") as caught:
        decode(path)
    assert caught.value.reason == "corrupt container"


def test_sound_shorter_than_announced_is_truncated(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    # With its index in front, a cut-off file still opens.
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("aac", rate=48_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone(300, 3.0)[None], format="fltp", layout="mono")
        frame.sample_rate = 48_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert len(decode(path).waveform) == pytest.approx(3 * 48_000, abs=2048)
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux() if packet.pos is not None]
    path.write_bytes(path.read_bytes()[: packets[len(packets) // 2].pos])
    with pytest.raises(MediaError, match=r"clip\.mp4: 3\.0\d s of sound announced") as caught:
        decode(path)
    assert caught.value.reason == "truncated"


def test_each_kind_of_bad_clip_has_its_reason(tmp_path: Path) -> None:
    silent = tmp_path / "silent.mp4"
    with av.open(str(silent), "w") as container:
        stream = container.add_stream("mpeg4", rate=5)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        picture = av.VideoFrame.from_ndarray(np.zeros((64, 64, 3), dtype=np.uint8))
        container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    empty_track = tmp_path / "empty.wav"
    with av.open(str(empty_track), "w") as container:
        container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        container.start_encoding()
    (tmp_path / "zero.mp4").write_bytes(b"")
    (tmp_path / "folder.mp4").mkdir()
    for name, reason in {
        "nowhere.mp4": "missing clip",
        "folder.mp4": "not a file",
        "zero.mp4": "corrupt container",
        "silent.mp4": "no audio",
        "empty.wav": "empty audio",
    }.items():
        with pytest.raises(MediaError, match=name) as caught:
            decode(tmp_path / name)
        assert caught.value.reason == reason


def test_resampling_keeps_speech_and_stops_what_would_alias() -> None:
    kept = resample(torch.from_numpy(tone(1000, 1.0)), 48_000, 16_000)
    expected = torch.from_numpy(tone(1000, 1.0, rate=16_000))
    middle = slice(1000, -1000)
    torch.testing.assert_close(kept[middle], expected[middle], atol=1e-4, rtol=0)
    aliasing = resample(torch.from_numpy(tone(8300, 1.0)), 48_000, 16_000)
    assert float(aliasing[middle].abs().max()) < 0.3 * 10 ** (-120 / 20)


def write_encoded(path: Path, codec: str, rate: int, duration_s: float) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, layout="mono")
        samples = np.zeros((1, round(duration_s * rate)), dtype=np.float32)
        samples[0, ::100] = 0.1
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate = rate
        resampler = av.AudioResampler(stream.format, "mono", rate, stream.frame_size or None)
        for piece in (*resampler.resample(frame), *resampler.resample(None)):
            container.mux(stream.encode(piece))
        container.mux(stream.encode(None))


def test_a_guessed_duration_does_not_make_a_stream_truncated(tmp_path: Path) -> None:
    write_encoded(tmp_path / "raw.aac", "aac", 48_000, 20.0)
    assert decode(tmp_path / "raw.aac").duration_s == pytest.approx(20.0, abs=0.1)


def test_an_odd_rate_is_brought_to_a_common_one(tmp_path: Path) -> None:
    write_encoded(tmp_path / "odd.wav", "pcm_s16le", 22_254, 1.0)
    sound = decode(tmp_path / "odd.wav")
    assert (sound.sample_rate, sound.channel_layout) == (48_000, "mono")
    assert len(sound.waveform) == pytest.approx(48_000, abs=100)
    assert sound.duration_s == pytest.approx(1.0)
