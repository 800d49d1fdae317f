from mmemo.comparison.group_names import short_names


def test_names_with_room_stay() -> None:
    assert short_names(["modality=text", "modality=both"], 20) == ["modality=text", "modality=both"]


def test_keys_go_first() -> None:
    names = ["modality=text, bottleneck_dim=64", "modality=text, bottleneck_dim=128"]
    assert short_names(names, 16) == ["text, 64", "text, 128"]


def test_names_are_not_cut_where_they_differ() -> None:
    start = "audio_encoder=" + "x" * 40
    ends = short_names([f"{start}a", f"{start}b"], 11)
    assert ends == ["audio…xxxxa", "audio…xxxxb"]
    middle = [f"{'x' * 30}{letter}{'y' * 30}" for letter in "ab"]
    assert short_names(middle, 11) == ["…xxxa…yyyyy", "…xxxb…yyyyy"]


def test_what_cannot_be_told_apart_has_its_rank() -> None:
    far = [f"{'x' * 30}{letter}{'y' * 30}{end}{'z' * 30}" for letter, end in ("ac", "ad", "bc")]
    assert [name[:2] for name in short_names(far, 9)] == ["1 ", "2 ", "3 "]
    assert short_names(["one name"], 5) == ["on…me"]
