"""Names in S3: the same tree gives the same ones, and no two files share one."""

from unicodedata import is_normalized, normalize

from hypothesis import given
from hypothesis import strategies as st

from deployments.push.folder import assign_names, clean_path
from models.keys import is_image_key

LIMIT = 200
# Letters that compose, look-alikes of what the tool itself adds, and names too long for the limit.
PARTS = st.text("aЁё\u0308Еей\u0306иA~ .0f_\\\n", min_size=1, max_size=12).filter(
    lambda part: not part.startswith(".")  # the scan leaves hidden files out
)
TREES = st.sets(
    st.builds(
        lambda folders, stem, repeat, suffix: "/".join([*folders, f"{stem * repeat}{suffix}"]),
        st.lists(PARTS, max_size=3),
        PARTS,
        st.sampled_from([1, 1, 1, 20]),
        st.sampled_from([".jpg", ".JPG", ".webp"]),
    ),
    max_size=25,
)


@given(TREES)
def test_every_file_has_a_name_of_its_own_that_s3_takes_and_the_sync_reads(tree: set[str]) -> None:
    names = assign_names(tree, LIMIT)
    assert names.keys() == tree
    assert len(set(names.values())) == len(tree)
    for relative, name in names.items():
        assert is_normalized("NFC", name)
        assert len(name.encode()) <= LIMIT
        assert is_image_key(name) == is_image_key(relative)
        assert not {"\\", "\n"} & set(name)


@given(TREES)
def test_the_same_tree_has_the_same_names_in_whatever_order_it_is_read(tree: set[str]) -> None:
    assert assign_names(sorted(tree), LIMIT) == assign_names(sorted(tree, reverse=True), LIMIT)


@given(TREES)
def test_a_tree_copied_to_a_mac_keeps_its_names(tree: set[str]) -> None:
    # Only trees that a Mac can hold: there two spellings are one name.
    one_spelling = {clean_path(relative) for relative in tree}
    short = {relative for relative in one_spelling if len(relative.encode()) <= LIMIT}
    on_linux = assign_names(short, LIMIT)
    on_mac = assign_names({normalize("NFD", relative) for relative in short}, LIMIT)
    assert sorted(on_linux.values()) == sorted(on_mac.values()) == sorted(short)


def test_a_plain_path_is_its_own_name() -> None:
    paths = {"A/IMG_001.jpg", "B/IMG_001.jpg", "a.JPG", "a.jpg", "День 2/Ёлка № 1.jpeg"}
    assert assign_names(paths, LIMIT) == {path: path for path in paths}


def test_two_spellings_in_one_folder_stay_two_photos() -> None:
    composed, apart = "ё.jpg", "е\u0308.jpg"
    names = assign_names([apart, composed], LIMIT)
    assert names[composed] == composed
    assert names[apart].startswith("ё~")
    # A file that is really called so does not lose its name to it.
    other = names[apart]
    again = assign_names([apart, composed, other], LIMIT)
    assert again[other] == other
    assert len(set(again.values())) == 3
