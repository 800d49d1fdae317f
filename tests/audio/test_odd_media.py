"""Media as they are in the wild: each file is made here, by PyAV and by hand."""

import io
import struct
from pathlib import Path

import av
import numpy as np
import pandas as pd
import pytest

from mmemo.audio.clip_worker import ClipWorker
from mmemo.audio.media import MediaError, Sound, decode
from mmemo.audio.preparation import Preparer
from mmemo.audio.prepared import MANIFEST_FILE, PreparedCorpus, read_manifest
from mmemo.audio.reading import Reading
from mmemo.audio.recordings import Recording, RecordingWorker
from mmemo.commands.prepare import reading_sentences
from mmemo.corpora.meld import MeldCorpus
from mmemo.errors import InputError
from tests.audio.test_media import encoded
from tests.conftest import MeldMaker, tone


def packets_of(content: bytes) -> list[tuple[int, int]]:
    """Place and size of each packet of sound."""
    with av.open(io.BytesIO(content)) as container:
        packets = [p for p in container.demux(container.streams.audio[0]) if p.size]
    # Of a frame with a header the packet is the frame.
    return [(content.index(bytes(p)), p.size) for p in packets]


def with_bad_packets(
    content: bytes, numbers: list[int], header: int = 0, filling: int | None = None
) -> bytes:
    """The same file with other bytes, random ones or one, behind the header of some packets."""
    damaged = bytearray(content)
    places = packets_of(content)
    for number in numbers:
        place, size = places[number][0] + header, places[number][1] - header
        noise = np.random.default_rng(number).bytes(size)
        damaged[place : place + size] = noise if filling is None else bytes([filling] * size)
    return bytes(damaged)


def joined(*parts: tuple[float, int, str]) -> bytes:
    """MP3s one behind the other: (frequency in Hz, rate in Hz, layout), a second each."""
    return b"".join(tone_file("mp3", "mp3", *part) for part in parts)


def tone_file(
    container: str, codec: str, frequency_hz: float, rate: int = 48_000, layout: str = "mono"
) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream(codec, rate=rate, layout=layout)
        channels = 2 if layout == "stereo" else 1
        samples = np.repeat(tone(frequency_hz, 1.0, rate=rate)[None], channels, axis=0)
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout=layout)
        frame.sample_rate = rate
        resampler = av.AudioResampler(stream.format, layout, rate, stream.frame_size or None)
        for piece in (*resampler.resample(frame), *resampler.resample(None)):
            output.mux(stream.encode(piece))
        output.mux(stream.encode(None))
    return file.getvalue()


def loudest_hz(sound: Sound, begin_s: float, end_s: float) -> float:
    part = sound.waveform[round(begin_s * sound.sample_rate) : round(end_s * sound.sample_rate)]
    spectrum = np.abs(np.fft.rfft(part * np.hanning(len(part))))
    return float(spectrum.argmax() * sound.sample_rate / len(part))


def id3(text: bytes) -> bytes:
    """A tag that says to be UTF-8."""
    frame = b"TIT2" + struct.pack(">I", len(text) + 1) + b"\0\0" + b"\3" + text
    return b"ID3\3\0\0" + bytes([0, 0, len(frame) >> 7, len(frame) & 127]) + frame


def riff_tag(content: bytes, text: bytes) -> bytes:
    tag = b"INAM" + struct.pack("<I", len(text)) + text
    chunk = b"LIST" + struct.pack("<I", 4 + len(tag)) + b"INFO" + tag
    place = content.index(b"data")
    return content[:place] + chunk + content[place:]


@pytest.mark.parametrize(
    "content",
    [
        riff_tag(encoded("wav", "pcm_s16le"), b"Caf\xe9"),
        riff_tag(encoded("wav", "pcm_s16le"), b"\xff\xfe\x80\x81"),
        id3(b"\xe9\xe8\xff\x80") + encoded("mp3", "mp3"),
        encoded("matroska", "pcm_s16le").replace(b"Lavf", b"\xe9\xff\x80\x81"),
    ],
    ids=["latin-1", "no encoding", "id3", "matroska"],
)
def test_tags_that_are_no_utf8_are_no_damage(content: bytes) -> None:
    sound = decode("clip", content)
    assert sound.duration_s == pytest.approx(0.6, abs=0.1)
    assert (sound.num_bad_packets, sound.notes) == (0, ())


@pytest.mark.parametrize(
    ("container", "codec", "header", "filling"),
    [
        ("mp4", "aac", 0, None),
        ("mp4", "aac", 0, 255),
        ("flac", "flac", 0, None),
        ("flac", "flac", 6, None),
        ("mp3", "mp3", 0, None),
        ("adts", "aac", 7, 255),
        ("caf", "alac", 0, 0),
        ("ac3", "ac3", 5, None),
        ("matroska", "aac", 0, None),
    ],
)
def test_the_good_frames_around_a_bad_packet_are_kept(
    container: str, codec: str, header: int, filling: int | None
) -> None:
    whole = tone_file(container, codec, 440.0)
    intact = decode("clip", whole)
    assert (intact.num_bad_packets, intact.notes) == (0, ())
    middle = len(packets_of(whole)) // 2
    damaged = with_bad_packets(whole, [middle], header, filling)
    sound = decode("clip", damaged, reading=Reading(max_bad_share=0.5))
    assert 1 <= sound.num_bad_packets <= 5
    assert sound.num_packets == pytest.approx(intact.num_packets, abs=2)
    lost_s = intact.duration_s - sound.duration_s
    assert 0 <= lost_s <= 0.1 * (1 + sound.num_bad_packets)
    # What stands before it is the same, and what stands behind it is still the tone.
    before = round(0.3 * intact.sample_rate)
    np.testing.assert_array_equal(sound.waveform[:before], intact.waveform[:before])
    assert loudest_hz(sound, 0.65, 0.9) == pytest.approx(440, abs=6)


def test_too_many_bad_packets_refuse_a_clip() -> None:
    whole = tone_file("mp4", "aac", 440.0)
    num_packets = len(packets_of(whole))
    damaged = with_bad_packets(whole, [10, 20, 30])
    share = 3 / num_packets
    kept = decode("clip", damaged, reading=Reading(max_bad_share=share))
    assert (kept.num_packets, kept.num_bad_packets) == (num_packets, 3)
    assert kept.notes == (f"3 of {num_packets} packets of sound cannot be decoded",)
    with pytest.raises(MediaError, match=rf"3 of {num_packets} packets .*max_bad_share") as caught:
        decode("clip", damaged, reading=Reading(max_bad_share=share - 0.001))
    assert caught.value.reason == "damaged audio"
    with pytest.raises(MediaError, match=rf"none of the {num_packets} packets") as caught:
        decode("clip", with_bad_packets(whole, list(range(num_packets))))
    assert caught.value.reason == "corrupt container"


def test_a_pause_between_packets_is_told() -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as output:
        stream = output.add_stream("pcm_s16le", rate=16_000, layout="mono")
        for pts in (0, 16_000 + 8_000):
            samples = (tone(440.0, 1.0, rate=16_000)[None] * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            frame.sample_rate, frame.pts = 16_000, pts
            output.mux(stream.encode(frame))
        output.mux(stream.encode(None))
    sound = decode("clip", file.getvalue())
    assert (sound.duration_s, sound.num_bad_packets) == (2.0, 0)
    assert sound.notes == ("0.50 s are left out between packets: a pause, or a loss",)


@pytest.mark.parametrize("first", [0, 1])
def test_joined_files_of_other_rates_and_channels_are_one_sound(first: int) -> None:
    parts = [(440.0, 44_100, "stereo"), (880.0, 22_050, "mono")]
    parts = parts[first:] + parts[:first]
    sound = decode("clip", joined(*parts))
    assert sound.sample_rate == 44_100
    assert sound.duration_s == pytest.approx(2.0, abs=0.2)
    assert len(sound.waveform) / 44_100 == pytest.approx(sound.duration_s, abs=0.002)
    found = [loudest_hz(sound, 0.2, 0.8), loudest_hz(sound, 1.2, 1.8)]
    assert found == pytest.approx([part[0] for part in parts], abs=3)
    level = np.sqrt(2 * np.mean(sound.waveform[round(1.3 * 44_100) : round(1.7 * 44_100)] ** 2))
    assert float(level) == pytest.approx(0.3, rel=0.05)
    kinds = ", ".join(f"{rate} Hz {layout}" for _, rate, layout in parts)
    assert sound.notes[-1] == f"the sound changes inside the file ({kinds})"


def test_a_limit_holds_across_a_change(tmp_path: Path) -> None:
    content = joined((440.0, 44_100, "stereo"), (880.0, 22_050, "mono"), (660.0, 48_000, "mono"))
    sound = decode("clip", content, limit_s=1.5)
    # The highest rate among what is kept.
    assert sound.sample_rate == 44_100
    assert len(sound.waveform) / 44_100 == pytest.approx(1.5, abs=0.06)
    assert sound.duration_s == pytest.approx(3.0, abs=0.3)


def tracks(default: int | None, codec: str = "pcm_s16le") -> bytes:
    """Two tracks, of 300 Hz in German and of 500 Hz in English."""
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as output:
        streams = [output.add_stream(codec, rate=16_000, layout="mono") for _ in range(2)]
        for number, (stream, language) in enumerate(zip(streams, ("ger", "eng"), strict=True)):
            stream.metadata["language"] = language
            stream.disposition = int(number == default)
        for stream, frequency_hz in zip(streams, (300.0, 500.0), strict=True):
            samples = (tone(frequency_hz, 1.0, rate=16_000)[None] * 32767).astype(np.int16)
            frame = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            frame.sample_rate, frame.pts = 16_000, 0
            output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
    return file.getvalue()


@pytest.mark.parametrize(
    ("default", "wanted", "frequency_hz"),
    [(1, None, 500), (0, None, 300), (None, None, 300), (1, 0, 300), (0, 1, 500), (0, "eng", 500)],
)
def test_of_several_tracks_the_default_or_the_wanted_one_is_heard(
    default: int | None, wanted: int | str | None, frequency_hz: int
) -> None:
    sound = decode("clip", tracks(default), reading=Reading(wanted))
    assert loudest_hz(sound, 0, 1) == pytest.approx(frequency_hz, abs=2)
    number = {300: 0, 500: 1}[frequency_hz]
    expected = f"of 2 sound tracks (ger, eng), number {number} is heard"
    assert sound.notes == ((expected,) if wanted is None else ())


@pytest.mark.parametrize("wanted", [2, "fre"])
def test_a_track_that_is_not_there_is_told(wanted: int | str) -> None:
    with pytest.raises(
        MediaError, match=rf"track {wanted}, found 2 sound tracks \(ger, eng\)"
    ) as e:
        decode("clip", tracks(0), reading=Reading(wanted))
    assert e.value.reason == "no such track"


def in_another_codec(tag: bytes) -> bytes:
    """An MP4 whose sample entry names another codec, and has no description of AAC."""
    return encoded("mp4", "aac").replace(b"mp4a", tag).replace(b"esds", b"free")


def in_an_unknown_wave_format() -> bytes:
    content = bytearray(encoded("wav", "pcm_s16le"))
    content[20:22] = struct.pack("<H", 0x1234)
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (in_another_codec(b"mhm1"), r"MPEG-H 3D Audio"),
        (in_another_codec(b"mha1"), r"MPEG-H 3D Audio"),
        (in_another_codec(b"ac-4"), r"AC-4"),
        (in_another_codec(b"enca"), r"encrypted sound"),
        (in_another_codec(b"zzzz"), r"an unknown codec \(zzzz\)"),
        (in_an_unknown_wave_format(), r"an unknown codec"),
        (encoded("matroska", "pcm_s16le").replace(b"A_PCM/INT/LIT", b"A_XYZ/INT/LIT"), "unknown"),
    ],
    ids=["mhm1", "mha1", "ac-4", "enca", "zzzz", "wav", "matroska"],
)
def test_a_codec_without_a_decoder_is_named(content: bytes, name: str) -> None:
    with pytest.raises(MediaError, match=f"clip: the file is in order.*{name}.*convert") as caught:
        decode("clip", content)
    assert caught.value.reason == "no decoder"


def test_a_track_without_a_decoder_is_passed_over() -> None:
    content = tracks(0).replace(b"A_PCM/INT/LIT", b"A_XYZ/INT/LIT", 1)
    sound = decode("clip", content)
    assert loudest_hz(sound, 0, 1) == pytest.approx(500, abs=2)
    (note,) = sound.notes
    assert "number 1 is heard: there is no decoder for an unknown codec" in note
    with pytest.raises(MediaError, match="cannot decode"):
        decode("clip", content, reading=Reading(0))


@pytest.mark.parametrize(
    ("reading", "message"),
    [
        (Reading(max_bad_share=1.0), "max_bad_share"),
        (Reading(max_bad_share=-0.1), "max_bad_share"),
        (Reading(-1), "audio_track"),
        (Reading("../x"), "audio_track"),
        (Reading(True), "audio_track"),
    ],
)
def test_what_is_no_choice_is_refused(reading: Reading, message: str) -> None:
    with pytest.raises(InputError, match=f"preparer.{message}"):
        reading.check("preparer.")


def damaged_corpus(make_meld: MeldMaker) -> tuple[Path, str]:
    """A corpus with one clip of few bad packets and one that is cut off."""
    root = make_meld()
    clips = sorted(root.rglob("*.mp4"))
    whole = tone_file("mp4", "aac", 440.0)
    clips[0].write_bytes(with_bad_packets(whole, [20]))
    with av.open(io.BytesIO(whole)) as container:
        num_packets = sum(bool(p.size) for p in container.demux(container.streams.audio[0]))
    return root, f"1 of {num_packets} packets of sound cannot be decoded"


def test_bad_packets_are_counted_in_the_manifest(make_meld: MeldMaker, tmp_path: Path) -> None:
    root, note = damaged_corpus(make_meld)
    annotations = MeldCorpus(root).read()
    corpus = Preparer(tmp_path / "p", num_workers=0).prepare(annotations, None)
    rows = corpus.kept[["num_packets", "num_bad_packets", "note"]]
    assert rows["num_bad_packets"].sum() == 1
    (bad,) = rows[rows["num_bad_packets"] > 0].itertuples(index=False)
    assert (bad.num_bad_packets, bad.note) == (1, note)
    assert bad.num_packets == int(note.split()[2])
    assert (rows["num_packets"] > 0).all()
    (sentence,) = reading_sentences(corpus)
    assert sentence.startswith("1 clips are kept without the 1 of their")
    strict = Preparer(tmp_path / "p", num_workers=0, max_bad_share=0.001)
    refused = strict.prepare(annotations, None)
    assert refused.folder != corpus.folder
    (skipped,) = refused.manifest[refused.manifest["status"] == "skipped"].itertuples()
    assert skipped.reason == "damaged audio"
    assert "preparer.max_bad_share is the share" in skipped.detail


def test_a_corpus_of_an_earlier_mmemo_is_read_and_told(
    make_meld: MeldMaker, tmp_path: Path
) -> None:
    corpus = Preparer(tmp_path / "p", num_workers=0).prepare(MeldCorpus(make_meld()).read(), None)
    assert corpus.meta.manifest_version == 2
    path = corpus.folder / MANIFEST_FILE
    pd.read_parquet(path).drop(columns=["num_packets", "num_bad_packets", "note"]).to_parquet(path)
    meta = corpus.folder / "meta.json"
    meta.write_text(meta.read_text().replace(',\n  "manifest_version": 2', ""))
    old = PreparedCorpus(corpus.folder)
    assert old.meta.manifest_version == 1
    assert len(old.kept) == len(corpus.kept)
    assert read_manifest(corpus.folder)["num_packets"].isna().all()
    (sentence,) = reading_sentences(old)
    assert "read by an earlier mmemo" in sentence
    assert str(corpus.folder) in sentence
    meta.write_text(
        meta.read_text().replace('"has_sound"', '"manifest_version": 3,\n  "has_sound"')
    )
    with pytest.raises(InputError, match="of version 2 at most, got version 3"):
        PreparedCorpus(corpus.folder)


def test_a_recording_tells_its_damage(tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(with_bad_packets(tone_file("mp4", "aac", 440.0), [20]))
    worker = RecordingWorker(ClipWorker(None, 16_000, 30.0))
    prepared = worker.prepare(Recording(path))
    assert prepared.num_bad_packets == 1
    assert "1 of" in prepared.note
    several = tmp_path / "several.mkv"
    several.write_bytes(tracks(0))
    assert "number 0 is heard" in worker.prepare(Recording(several)).note
    chosen = RecordingWorker(ClipWorker(None, 16_000, 30.0, Reading("eng")))
    (stretch,) = chosen.prepare(Recording(several)).stretches
    assert stretch.samples is not None
    spectrum = np.abs(np.fft.rfft(stretch.samples[:16_000].astype(float)))
    assert int(spectrum.argmax()) == 500
