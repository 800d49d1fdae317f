import pytest
import torch

from mmemo.data.batch import Collator, Example


def example(key: str, num_samples: int, num_tokens: int, target: int = 0) -> Example:
    return Example(key, target, torch.ones(num_samples), torch.full((num_tokens,), 7))


def test_pads_to_the_longest_and_masks_what_is_real() -> None:
    batch = Collator(pad_token_id=1)([example("a", 2, 3, 4), example("b", 4, 1, 2)])
    assert batch.keys == ("a", "b")
    assert batch.target.tolist() == [4, 2]
    assert batch.audio is not None
    assert batch.audio.waveform.tolist() == [[1, 1, 0, 0], [1, 1, 1, 1]]
    assert batch.audio.mask.tolist() == [[True, True, False, False], [True] * 4]
    assert batch.text is not None
    assert batch.text.input_ids.tolist() == [[7, 7, 7], [7, 1, 1]]
    assert batch.text.mask.tolist() == [[True] * 3, [True, False, False]]


def test_pads_to_what_the_encoder_needs() -> None:
    short = Collator(min_samples=5)([example("a", 2, 1)]).audio
    assert short is not None
    assert short.waveform.shape == (1, 5)
    fixed = Collator(fixed_samples=8)([example("a", 2, 1)]).audio
    assert fixed is not None
    assert fixed.waveform.shape == (1, 8)
    assert int(fixed.mask.sum()) == 2


def test_longer_than_the_fixed_length_is_an_error() -> None:
    with pytest.raises(ValueError, match="at most 8 samples.*got 9; set data.max_duration_s"):
        Collator(fixed_samples=8)([example("a", 9, 1)])


def test_absent_modalities_stay_absent() -> None:
    batch = Collator()([Example("a", 0, None, torch.tensor([3]))])
    assert batch.audio is None
    assert batch.to("cpu").audio is None
    assert len(batch) == 1
