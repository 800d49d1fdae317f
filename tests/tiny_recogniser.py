"""A recogniser of speech that fits into a test."""

from __future__ import annotations

from pathlib import Path

import torch


def write_recogniser(folder: Path) -> Path:
    """A random Whisper that writes down some letters, with a tokenizer of bytes."""
    from transformers import (
        GenerationConfig,
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperForConditionalGeneration,
        WhisperTokenizer,
    )
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    end = "<|endoftext|>"
    names = ("startoftranscript", "en", "translate", "transcribe", "startoflm", "startofprev")
    special = [f"<|{name}|>" for name in (*names, "nospeech", "notimestamps")]
    vocab = {letter: index for index, letter in enumerate(bytes_to_unicode().values())}
    tokenizer = WhisperTokenizer(vocab={**vocab, end: len(vocab)}, merges=[], pad_token=end)
    tokenizer.add_special_tokens({"additional_special_tokens": special})
    tokenizer.add_tokens([f"<|{0.02 * step:.2f}|>" for step in range(1501)])
    tokenizer.save_pretrained(folder)
    WhisperFeatureExtractor(feature_size=8).save_pretrained(folder)
    ids = dict(zip(special, tokenizer.convert_tokens_to_ids(special), strict=True))
    own = {
        "bos_token_id": len(vocab),
        "eos_token_id": len(vocab),
        "pad_token_id": len(vocab),
        "decoder_start_token_id": ids["<|startoftranscript|>"],
    }
    sides = ("encoder", "decoder")
    sizes = {f"{side}_{name}": n for side in sides for name, n in (("layers", 1), ("ffn_dim", 16))}
    heads = {f"{side}_attention_heads": 2 for side in sides}
    torch.manual_seed(0)
    config = WhisperConfig(
        vocab_size=len(tokenizer),
        num_mel_bins=8,
        d_model=16,
        max_target_positions=64,
        init_std=1.0,
        **sizes,
        **heads,
        **own,
    )
    model = WhisperForConditionalGeneration(config)
    model.generation_config = GenerationConfig(
        alignment_heads=[[0, 0]],
        lang_to_id={"<|en|>": ids["<|en|>"]},
        task_to_id={name: ids[f"<|{name}|>"] for name in ("transcribe", "translate")},
        is_multilingual=True,
        no_timestamps_token_id=ids["<|notimestamps|>"],
        prev_sot_token_id=ids["<|startofprev|>"],
        max_initial_timestamp_index=50,
        max_length=30,
        **own,
    )
    model.save_pretrained(folder)
    return folder
