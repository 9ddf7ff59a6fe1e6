import numpy as np
import pytest

from gen_jax.data import text
from gen_jax.errors import InputError

CAPTIONS = ["A red circle.", "a BLUE circle, a red square!", "the dog's type-1-2"]


def test_words_are_lower_cased_and_split_at_white_space_and_punctuation():
    words = ["a", "red", "circle", "a", "square", "don't", "type-1-2"]
    assert text.split("A  red\tcircle, (a Square)... don't — type-1-2!") == words
    assert text.split("-a- 'b' c--d e_f 3.5") == ["a", "b", "c", "d", "e_f", "3", "5"]
    assert text.split("E\u0301tude") == text.split("étude") == ["étude"]
    assert text.split("") == text.split("?!") == []


def test_words_are_numbered_by_frequency_then_alphabet():
    words = text.learn(CAPTIONS, "words")
    expected = ["<pad>", "<begin>", "<end>", "a", "circle", "red", "blue", "dog's", "square", "the", "type-1-2"]
    assert words == text.Words(2 + 6, tuple(expected)) and words.size == 11
    a, circle, red, blue, square = (expected.index(word) for word in ("a", "circle", "red", "blue", "square"))
    encoded = words.encode(CAPTIONS[:2])
    assert encoded.dtype == np.int32
    assert encoded.tolist() == [[1, a, red, circle, 2, 0, 0, 0], [1, a, blue, circle, a, red, square, 2]]
    assert words.decode(encoded[0]) == "a red circle"
    assert text.learn(CAPTIONS[::-1], "words") == words  # the order of the images decides nothing


def test_captions_of_words_survive_the_round_trip():
    words = text.learn(CAPTIONS, "words")
    for caption, tokens in zip(CAPTIONS, words.encode(CAPTIONS), strict=True):
        assert words.decode(tokens) == " ".join(text.split(caption))
    assert words.decode(words.encode([""])[0]) == ""
    assert words.decode([1, 3, 2, 4, 0]) == "a"  # what a model draws after the end is not said


def test_any_text_survives_the_round_trip_through_bytes():
    texts = [
        "",
        "A red circle.",
        "naïve – 北京 \U0001f468\u200d\U0001f469",
        "\x00\x01\x02\n",
        "".join(map(chr, range(256))),
    ]
    words = text.learn(texts, "bytes")
    assert words == text.Words(2 + 128 + 2 * 128) and words.size == 259
    encoded = words.encode(texts)
    assert encoded.min() >= 0 and encoded.max() < 259
    assert [words.decode(tokens) for tokens in encoded] == texts
    # Each of the 256 values has a number of its own, none of them that of <pad>, <begin> or <end>.
    assert encoded[1, :4].tolist() == [1, 3 + ord("A"), 3 + ord(" "), 3 + ord("r")]
    assert words.decode(words.encode(["\ud800"])[0]) == "?"
    assert words.decode(range(3, 259)) == bytes(range(256)).decode(errors="replace")


def test_unknown_words_are_named_with_their_neighbours():
    words = text.learn(CAPTIONS, "words")
    with pytest.raises(InputError) as error:
        words.encode(["a read cirle xyzzy a read"])
    assert str(error.value) == (
        "no caption of the set has read (did you mean red?), cirle (did you mean circle?), xyzzy"
    )
    with pytest.raises(InputError, match="has pad$"):  # the special names are no words
        words.encode(["<pad>"])


@pytest.mark.parametrize(
    ("read_as", "caption", "count"), [("words", "a a a a a", "5 words"), ("bytes", "éé", "4 bytes")]
)
def test_captions_that_are_too_long_are_refused_or_cut(read_as, caption, count):
    words = text.learn(["a", "b a b", "ö"], read_as, length=5)
    with pytest.raises(InputError, match=f"^{count} are too many; give at most 3$"):
        words.encode([caption])
    cut = words.encode([caption], cut=True)
    assert cut.shape == (1, 5) and cut[0, -1] == text.END and cut[0, 0] == text.BEGIN
    assert words.decode(cut[0]) == {"words": "a a a", "bytes": "é�"}[read_as]


def test_variants_of_one_picture_have_one_name():
    fitzpatrick = "emoji modifier fitzpatrick type-"
    for caption, name in {
        "koala": "koala",
        f"man, {fitzpatrick}6, scales": "adult, scales",
        f"woman, {fitzpatrick}1-2, scales": "adult, scales",
        f"swimmer, {fitzpatrick}3, male sign": "swimmer",
        f"runner, {fitzpatrick}5, male sign, black rightwards arrow": "runner",
        f"adult, {fitzpatrick}6, heavy black heart, 3": "adult, heavy black heart",
        f"man dancing, {fitzpatrick}5": "adult dancing",
        f"{fitzpatrick}4": f"{fitzpatrick}4",  # nothing else is left of it
        "female sign": "female sign",
        "snowman without snow": "snowman without snow",
        "human, germany": "human, germany",
    }.items():
        assert text.name(caption) == name, caption
