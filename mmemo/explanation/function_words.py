"""Which words of English carry grammar and which carry content."""

from __future__ import annotations

from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

CONTENT = (
    "alone amount amoungst back became become becomes becoming bill bottom call co con cry de "
    "describe detail due eg eight eleven empty etc fifteen fifty fill find fire first five former "
    "formerly forty found four front full get give go hundred ie inc interest keep last latter "
    "latterly least ltd made mill move name namely next nine part please put re same see seem "
    "seemed seeming seems serious show side sincere six sixty system take ten thick thin third "
    "three top twelve twenty two un via whole"
)
"""What scikit-learn's stop list holds beside function words.

It was made for retrieval: verbs, nouns, adjectives, numbers and abbreviations are on it. Source:
Nothman, Qin and Yurchak 2018, "Stop word lists in free open-source software packages".
"""

ADDED = "did does doing gonna gotta having just ought shall theirs till unless wanna"
"""Function words that it lacks."""

SUBJECTS = (
    "i you he she it we they that this there here who what where when why how everything "
    "everybody everyone somebody someone something nobody nothing one"
)
AUXILIARIES = (
    "ai are ca could did do does had has have is might must need sha should was were wo would"
)
MODALS = "could might must should would"
HOMOGRAPHS = frozenset({"hell", "shed", "shell", "wed"})
"""Contractions that are a word of content without their apostrophe.

Others are too, but hardly ever: MELD has "I'll" 217 times and "ill" once, "I'd" 72 times and "id"
once; "he'll" 16 times and "hell" 30 times.
"""


def _contractions() -> frozenset[str]:
    """Contractions of function words, without their apostrophe."""
    found = {
        f"{subject}{end}" for subject in SUBJECTS.split() for end in ("s", "re", "ve", "ll", "d")
    }
    found |= {f"{auxiliary}nt" for auxiliary in AUXILIARIES.split()}
    found |= {f"{modal}ve" for modal in MODALS.split()} | {"im", "lets"}
    # "ones", "whore" and "hered" are no contractions that anybody writes.
    return frozenset(found - HOMOGRAPHS - {"ones", "whore", "hered", "therere", "herere"})


CONTENT_WORDS = frozenset(CONTENT.split())
FUNCTION_WORDS = (ENGLISH_STOP_WORDS - CONTENT_WORDS) | frozenset(ADDED.split()) | _contractions()


def is_function_word(word: str) -> bool:
    """Whether a plain word is a function word, or contracts one: "don't", "dont", "it's".

    Args:
        word: In lower case, without punctuation around it; the cleaning of transcripts takes the
            apostrophe away too.
    """
    if "'" not in word:
        return word in FUNCTION_WORDS
    # "he" of "he'll"; "can't" has no such part.
    return word.split("'")[0] in FUNCTION_WORDS or word.replace("'", "") in FUNCTION_WORDS
