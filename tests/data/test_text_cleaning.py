from mmemo.data.text_cleaning import AlphanumericCleaning


def test_keeps_letters_digits_case_and_single_spaces() -> None:
    clean = AlphanumericCleaning()
    assert clean("Oh my God!  I'm 27,\tcafé—bar?") == "Oh my God Im 27 cafébar"
    assert clean("...") == ""
