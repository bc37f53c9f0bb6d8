import pyarrow.fs
import pytest

from runner.storage import Storage
from runner.uri import joined, shown, without_secrets
from xmft.errors import RequestError

S3 = "s3://AKIAKEY:se%2Fcret@bucket/dir?endpoint_override=127.0.0.1:9&scheme=http"


def test_what_lies_in_a_folder_comes_before_the_query():
    assert joined(S3, "figures").startswith("s3://AKIAKEY:se%2Fcret@bucket/dir/figures?endpoint")
    assert joined("s3://bucket/dir/", "a/b", "/c") == "s3://bucket/dir/a/b/c"
    assert joined("/home/a?b/results", "ray") == "/home/a?b/results/ray"
    assert joined("/home/results/") == "/home/results"


def test_pyarrow_finds_what_was_joined():
    uri = "s3://a:b@bucket/dir?endpoint_override=127.0.0.1:9&scheme=http&region=us-east-1"
    _, path = pyarrow.fs.FileSystem.from_uri(joined(uri, "figures", "a.png"))
    assert path == "bucket/dir/figures/a.png"
    assert Storage(uri).within("figures").uri == joined(uri, "figures")


@pytest.mark.parametrize(
    ("uri", "for_people"),
    [
        (S3, "s3://bucket/dir?endpoint_override=127.0.0.1:9&scheme=http"),
        ("s3://bucket/dir?access_key=A&secret_key=B&region=x", "s3://bucket/dir?region=x"),
        ("s3://bucket/dir?session_token=A", "s3://bucket/dir"),
        ("s3://AKIAKEY:se/cret@bucket/dir?scheme=http", "s3://bucket/dir?scheme=http"),
        ("s3://AKIAKEY:se?cr/et@bucket/dir?scheme=http", "s3://bucket/dir?scheme=http"),
        ("s3://AKIAKEY@bucket/dir", "s3://bucket/dir"),
        ("gs://bucket/dir?X-Amz-Signature=1&sas=2&my%5Fpassword=3", "gs://bucket/dir"),
        ("abfs://container@account.dfs.core.windows.net/dir", None),
        ("abfs://account:key@container/dir", "abfs://container/dir"),
        ("s3://bucket/a@b/c", None),
        ("s3://bucket/dir?keyboard=1", "s3://bucket/dir"),
        ("/home/key:secret@x/results", None),
    ],
)
def test_people_see_no_secrets(uri, for_people):
    assert shown(uri) == (for_people or uri)


@pytest.mark.parametrize(
    ("uri", "secrets"),
    [
        (S3, ("AKIAKEY", "se%2Fcret", "se/cret")),
        ("s3://AKIAKEY:se/cret@bucket/dir", ("AKIAKEY", "se/cret")),
        ("s3://AKIAKEY:se?cret@bucket/dir", ("AKIAKEY", "se?cret")),
        ("s3://AKIAKEY:sec ret@bucket/dir?region=x", ("AKIAKEY", "sec ret")),
        ("s3://bucket/dir?secret_key=topsecret&wrong=1", ("topsecret",)),
        ("ftp://user:topsecret@host/dir", ("topsecret",)),
        ("s3://AKIAKEY:topsecret@bucket/dir\udcff", ("AKIAKEY", "topsecret")),
    ],
)
def test_errors_hold_no_secrets(uri, secrets):
    text = without_secrets(f"cannot parse '{uri}': {' and '.join(secrets)}", uri)
    assert not [secret for secret in secrets if secret in text]
    if uri != S3:
        with pytest.raises(RequestError) as caught:
            Storage(uri)
        error = caught.value
        told = [str(error), str(error.__cause__)]
        assert not [secret for secret in secrets for text in told if secret in text]
