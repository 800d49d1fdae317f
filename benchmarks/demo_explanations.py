"""Whether explanations of a model of the demo corpus find what carries the emotion there.

    mmemo explain run=outputs/demo/RUN all=true target=true name=demo num_pages=0
    python benchmarks/demo_explanations.py outputs/demo/RUN/explanations/demo

In some of its sentences a word decides and the prosody tells nothing, in others the text is
ambiguous and the prosody decides. For each of these the table gives how much of the modalities'
Shapley values is on sound, |audio| / (|audio| + |text|), and in how many of the former the deciding
word is the first by Integrated Gradients.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from omegaconf import OmegaConf
from scipy.stats import mannwhitneyu

from mmemo.corpora.demo_script import Line, write_script
from mmemo.explanation.explanation import RECORD_FILE, Explanation
from mmemo.runs.run_folder import RunFolder

CARRIERS = ("words", "prosody", "both")


def lines_by_key(run: RunFolder) -> dict[str, Line]:
    """The script of the corpus that a run was trained on."""
    corpus = OmegaConf.load(run.config_file).corpus
    lines = write_script(corpus.num_utterances, corpus.seed)
    return {f"{line.split}/dia{line.dialogue_id}_utt{line.utterance_id}": line for line in lines}


def share_of_sound(explanation: Explanation) -> float:
    """How much of the modalities' Shapley values is on sound, without their signs."""
    if explanation.shapley is None or set(explanation.shapley.values) != {"audio", "text"}:
        raise SystemExit(f"{explanation.key}: expected Shapley values of sound and text")
    sizes = {name: abs(value) for name, value in explanation.shapley.values.items()}
    return sizes["audio"] / sum(sizes.values())


def is_first(explanation: Explanation, deciding_word: str) -> bool:
    """Whether a word speaks more for the class than all others, by Integrated Gradients."""
    found = explanation.integrated_gradients
    if found is None or found.words is None:
        raise SystemExit(f"{explanation.key}: expected Integrated Gradients of words")
    word = explanation.words[int(np.argmax(found.words))]
    return word.start <= explanation.transcript.index(deciding_word) < word.stop


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="of a set: RUN/explanations/SET")
    folder = parser.parse_args().folder
    lines = lines_by_key(RunFolder.open(folder.parents[1]))
    shares: dict[str, list[float]] = {carrier: [] for carrier in CARRIERS}
    firsts = []
    for path in sorted(folder.glob(f"*/{RECORD_FILE}")):
        explanation = Explanation.load(path.parent)
        line = lines[explanation.key]
        shares[line.carrier].append(share_of_sound(explanation))
        if line.carrier == "words":
            firsts.append(is_first(explanation, line.deciding_word))
    print(f"{'decided by':12}{'N':>4}  share of the Shapley values on sound, mean")
    for carrier, values in shares.items():
        print(f"{carrier:12}{len(values):4}  {np.mean(values):.3f}")
    p_value = mannwhitneyu(shares["prosody"], shares["words"], alternative="greater").pvalue
    print(f"more by prosody than by words (Mann-Whitney, one-sided): p = {p_value:.1e}")
    print(f"deciding word first: {np.mean(firsts):.3f} of {len(firsts)}")


if __name__ == "__main__":
    main()
