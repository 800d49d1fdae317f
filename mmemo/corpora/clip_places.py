"""Which files of a folder are clips."""

MEDIA_SUFFIXES = frozenset(
    (
        *(".wav", ".wave", ".w64", ".flac", ".mp3", ".m4a", ".aac", ".ogg", ".oga", ".opus"),
        *(".wma", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".amr", ".ape", ".wv", ".tta"),
        *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".flv"),
        *(".wmv", ".3gp", ".3g2", ".ogv", ".ac3", ".dts", ".nist", ".sph", ".mka", ".voc", ".tak"),
    )
)
"""Of files that are taken from a folder, or meant by a name without a suffix."""
