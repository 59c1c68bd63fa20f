import pytest

from model.spreadsheet import describe_encoding, describe_header

ADVICE = "save it as CSV in UTF-8, with commas"


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ([], "nothing"),
        (["path", " identity"], "'path', ' identity'"),
        (["path;identity"], f"'path;identity', separated by semicolons; {ADVICE}"),
        (["path\tidentity"], f"'path\\tidentity', separated by tabs; {ADVICE}"),
        (["path;or", "identity"], "'path;or', 'identity'"),
        (["x" * 5000], f"'{'x' * 99}…"),
    ],
)
def test_what_separates_a_header_is_told(names: list[str], told: str) -> None:
    assert describe_header(names) == told


@pytest.mark.parametrize(
    ("encoding", "told"), [("utf-16", "UTF-16"), ("utf-16-be", "UTF-16"), ("latin-1", "byte 0xe4")]
)
def test_another_encoding_is_told(encoding: str, told: str) -> None:
    text = "\ufeffpath,identity" if encoding == "utf-16-be" else "ä,path"
    with pytest.raises(UnicodeDecodeError) as refused:
        text.encode(encoding).decode("utf-8-sig")
    assert describe_encoding(refused.value) == f"{told}; {ADVICE}"
