import io
import os
import random
import socket
import struct
import wave
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from mmemo.audio.media import MediaError, decode, resample
from mmemo.audio.torchaudio_check import load_torchaudio
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
    spectrum = np.abs(np.fft.rfft(sound.waveform[:48_000])) / 24_000
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
    os.mkfifo(tmp_path / "pipe.mp4")
    for name, reason in {
        "nowhere.mp4": "missing clip",
        "folder.mp4": "not a file",
        "zero.mp4": "corrupt container",
        "pipe.mp4": "not a file",
        "silent.mp4": "no audio",
        "empty.wav": "empty audio",
    }.items():
        with pytest.raises(MediaError, match=name) as caught:
            decode(tmp_path / name)
        assert caught.value.reason == reason


def test_resampling_keeps_speech_and_stops_what_would_alias() -> None:
    kept = resample(tone(1000, 1.0), 48_000, 16_000)
    middle = slice(1000, -1000)
    np.testing.assert_allclose(kept[middle], tone(1000, 1.0, rate=16_000)[middle], atol=1e-4)
    aliasing = resample(tone(8300, 1.0), 48_000, 16_000)
    assert np.abs(aliasing[middle]).max() < 0.3 * 10 ** (-120 / 20)


@pytest.mark.parametrize(
    ("from_rate", "to_rate"),
    [(48_000, 16_000), (16_000, 48_000), (44_100, 48_000), (22_050, 48_000), (48_000, 24_000)],
)
@pytest.mark.parametrize("num_samples", [1, 7, 5000])
def test_resampling_is_torchaudios(from_rate: int, to_rate: int, num_samples: int) -> None:
    waveform = np.random.default_rng(0).uniform(-1, 1, num_samples).astype(np.float32)
    expected = load_torchaudio().functional.resample(
        torch.from_numpy(waveform),
        from_rate,
        to_rate,
        lowpass_filter_width=64,
        rolloff=0.9475937167399596,
        resampling_method="sinc_interp_kaiser",
        beta=14.769656459379492,
    )
    # torchaudio's filter is computed in single precision.
    resampled = resample(waveform, from_rate, to_rate)
    assert resampled.dtype == np.float32
    np.testing.assert_allclose(resampled, expected.numpy(), atol=5e-5)
    assert len(resample(np.zeros(0, np.float32), from_rate, to_rate)) == 0


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


def encoded(container: str, codec: str, duration_s: float = 0.6, rate: int = 16_000) -> bytes:
    """Noise, which no codec makes small, in a container."""
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate, layout="mono")
        noise = 0.1 * np.random.default_rng(0).standard_normal((1, round(duration_s * rate)))
        frame = av.AudioFrame.from_ndarray(noise.astype(np.float32), format="fltp", layout="mono")
        frame.sample_rate = rate
        resampler = av.AudioResampler(stream.format, "mono", rate, stream.frame_size or 512)
        for piece in (*resampler.resample(frame), *resampler.resample(None)):
            piece.pts = None
            output.mux(stream.encode(piece))
        output.mux(stream.encode(None))
    return file.getvalue()


@pytest.mark.parametrize(
    ("container", "codec"),
    [
        ("wav", "pcm_s16le"),
        ("wav", "pcm_f32le"),
        ("w64", "pcm_s16le"),
        ("aiff", "pcm_s16be"),
        ("au", "pcm_s16be"),
        ("caf", "pcm_s16be"),
        ("avi", "pcm_s16le"),
        ("avi", "mp3"),
        ("mpegts", "mp2"),
        ("mpegts", "aac"),
        ("mp3", "mp3"),
        ("mp2", "mp2"),
        ("matroska", "pcm_s16le"),
        ("webm", "libopus"),
        ("ogg", "libopus"),
        ("flac", "flac"),
        ("adts", "aac"),
        ("mp4", "aac"),
        ("mov", "pcm_s16le"),
        ("flv", "aac"),
        ("tta", "tta"),
    ],
)
def test_no_part_of_a_file_is_taken_for_the_whole(container: str, codec: str) -> None:
    whole = encoded(container, codec, rate=48_000 if codec == "libopus" else 16_000)
    assert decode("clip", whole).duration_s == pytest.approx(0.6, abs=0.15)
    lengths = random.Random(0).sample(range(len(whole) // 8, len(whole) - 600), 8)
    taken = []
    for length in (len(whole) // 2 + 33, *lengths):
        try:
            decode("clip", whole[:length])
        except MediaError as error:
            assert error.reason in ("truncated", "corrupt container", "no audio")
        else:
            taken.append(length)
    # Of frames alone nothing tells how many there should be: cut between two, they are whole.
    assert len(taken) <= (1 if container in ("adts", "mp2") else 0)


def test_what_a_writer_could_not_know_is_no_truncation() -> None:
    whole = encoded("wav", "pcm_s16le")
    place = whole.index(b"data") + 4
    for size in (0xFFFF_FFFF, 0x7FFF_FFFF, 0x8000_0000):
        streamed = whole[:place] + struct.pack("<I", size) + whole[place + 4 :]
        assert decode("clip", streamed).duration_s == pytest.approx(0.6)
    # A size that counts the header too, as some writers do.
    size = struct.pack("<I", len(whole))
    assert decode("clip", whole[:place] + size + whole[place + 4 :]).duration_s > 0.59
    assert decode("clip", encoded("mp3", "mp3") + b"TAG" + bytes(125)).duration_s > 0.59


SESSION = b"""v=0
o=- 0 0 IN IP4 127.0.0.1
s=x
c=IN IP4 127.0.0.1
t=0 0
m=audio %d RTP/AVP 0
"""


@pytest.mark.parametrize("packed", [False, True])
def test_a_clip_opens_nothing_else(tmp_path: Path, packed: bool) -> None:
    secret = tmp_path / "secret.wav"
    secret.write_bytes(encoded("wav", "pcm_s16le"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{secret}\n#EXT-X-ENDLIST\n"
    for name, content in {
        "a.sdp": SESSION % port,
        "a.ffconcat": b"ffconcat version 1.0\nfile secret.wav\n",
        "b.ffconcat": f"ffconcat version 1.0\nfile {secret}\n".encode(),
        "a.m3u8": playlist.encode(),
        "a.mp4": b"ffconcat version 1.0\nfile secret.wav\n",
    }.items():
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(MediaError, match=name) as caught:
            decode(path, content if packed else None)
        assert caught.value.reason in ("unsupported format", "corrupt container")
    for name in (f"concat:{secret}", f"file:{secret}", "http://127.0.0.1/a.wav", "pipe:0"):
        with pytest.raises(MediaError) as caught:
            decode(name)
        assert caught.value.reason == "missing clip"


def test_a_name_that_looks_like_an_address_is_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("file:take.wav", "clip%03d.wav", "a:b.wav"):
        Path(name).write_bytes(encoded("wav", "pcm_s16le"))
        assert decode(name).duration_s == pytest.approx(0.6)


@pytest.mark.parametrize("num_channels", [*range(9, 18), 24, 64])
def test_any_number_of_channels_is_mixed(num_channels: int) -> None:
    samples = np.full((1600, num_channels), 8192, dtype="<i2")
    file = io.BytesIO()
    with wave.open(file, "wb") as output:
        output.setnchannels(num_channels)
        output.setsampwidth(2)
        output.setframerate(16_000)
        output.writeframes(samples.tobytes())
    sound = decode("clip", file.getvalue())
    # All channels alike: the weights add up to one, but for the low-frequency ones that are left.
    assert float(sound.waveform[800]) == pytest.approx(0.25, abs=0.001)
    assert sound.channel_layout == f"{num_channels} channels"


def test_a_rate_of_no_small_ratio_does_not_fill_memory() -> None:
    for rate in (2_147_483_616, 48_000 * 1001, 1, 2**31 - 1):
        whole = bytearray(encoded("wav", "pcm_s16le"))
        whole[24:28] = struct.pack("<I", rate)
        try:
            sound = decode("clip", bytes(whole), limit_s=0.1)
        except MediaError as error:
            assert error.reason in ("corrupt container", "empty audio")
        else:
            resample(sound.waveform[:100], sound.sample_rate, 16_000)


def test_tags_in_an_old_encoding_are_no_damage() -> None:
    whole = encoded("wav", "pcm_s16le")
    tag = b"INAM" + struct.pack("<I", 4) + b"Caf\xe9"
    chunk = b"LIST" + struct.pack("<I", 4 + len(tag)) + b"INFO" + tag
    place = whole.index(b"data")
    assert decode("clip", whole[:place] + chunk + whole[place:]).duration_s == pytest.approx(0.6)
