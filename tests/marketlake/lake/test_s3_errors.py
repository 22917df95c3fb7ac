"""What S3 or its client refuses is one line that says what to mend."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from marketlake.lake.errors import LakeError, LakeNotFoundError
from marketlake.lake.query import open_lake
from marketlake.lake.storage import Storage
from marketlake.settings.model import S3Settings, SettingsError, load_settings
from tests.s3_servers import S3Server

OWNER = "123456789012"


def one_line(error: pytest.ExceptionInfo[LakeError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


def a_bucket() -> str:
    """A name that no process has looked for yet: what was found of a bucket is remembered."""
    return f"test-{uuid.uuid4().hex[:12]}"


@pytest.fixture
def judging(s3_server: S3Server) -> Iterator[S3Server]:
    s3_server.require_rights(on=True)
    yield s3_server
    s3_server.require_rights(on=False)


def user_with(server: S3Server, *actions: str) -> dict[str, str]:
    """Make a user that may do some things; give the variables that name it."""
    iam, name = server.client("iam"), uuid.uuid4().hex[:12]
    iam.create_user(UserName=name)
    if actions:
        policy = {"Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]}
        document = json.dumps({"Version": "2012-10-17", **policy})
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document)
    key = iam.create_access_key(UserName=name)["AccessKey"]
    return {
        "AWS_ACCESS_KEY_ID": key["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"],
    }


def test_a_bucket_that_is_absent(s3_server, s3_bucket):
    name = a_bucket()
    with pytest.raises(LakeNotFoundError, match=f"bucket {name} does not exist at http") as e:
        Storage(f"s3a://{name}/lake").read("x")
    assert one_line(e).endswith(f"make it, or mend the URI s3a://{name}")


def test_credentials_that_are_refused(s3_bucket, judging):
    # No such key is known to the server, now that it looks.
    with pytest.raises(LakeError, match=r"AWS credentials .* refused \(InvalidAccessKeyId\)") as e:
        Storage(f"s3a://{s3_bucket}/lake").read("x")
    assert "renew them (AWS_PROFILE" in one_line(e)


def test_no_right_to_the_bucket(s3_server, s3_bucket, monkeypatch, request):
    for name, value in user_with(s3_server).items():
        monkeypatch.setenv(name, value)
    request.getfixturevalue("judging")
    with pytest.raises(LakeError, match=f"no permission to open s3a://{s3_bucket}: see that") as e:
        Storage(f"s3a://{s3_bucket}/lake").exists("x")
    assert "s3:PutObject" in one_line(e)


def test_a_right_to_read_but_not_to_write(s3_server, s3_bucket, monkeypatch, request):
    storage = Storage(f"s3a://{s3_bucket}/lake")
    storage.write("x", b"1")
    name = s3_server.new_bucket()
    for variable, value in user_with(s3_server, "s3:List*", "s3:Get*", "s3:Head*").items():
        monkeypatch.setenv(variable, value)
    request.getfixturevalue("judging")
    storage = Storage(f"s3a://{name}/lake")
    assert storage.list("") == []
    for write in (storage.write, storage.write_new):
        with pytest.raises(LakeError, match=f"no permission to write s3a://{name}/lake/y") as e:
            write("y", b"2")
        one_line(e)


def test_no_credentials_at_all(s3_bucket, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(LakeError, match=r"no AWS credentials for s3a://.*set AWS_PROFILE") as e:
        Storage(f"s3a://{a_bucket()}/lake").read("x")
    one_line(e)
    monkeypatch.setenv("AWS_PROFILE", "absent")
    with pytest.raises(LakeError, match=r"no AWS credentials .*\(absent\)"):
        Storage(f"s3a://{a_bucket()}/lake").read("x")


def test_a_server_that_does_not_answer(s3_bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(LakeError, match=r"S3 at http://127.0.0.1:9 does not answer") as e:
        Storage(f"s3a://{a_bucket()}/lake").read("x")
    assert "nothing was lost" in one_line(e)


def test_an_endpoint_that_is_no_url(s3_bucket, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "no url")
    with pytest.raises(LakeError, match="no url") as e:
        Storage(f"s3a://{a_bucket()}/lake").read("x")
    one_line(e)


class PlayedS3(BaseHTTPRequestHandler):
    """Answers as S3 does where moto does not: by the bucket's region and its owner."""

    region = "eu-west-1"
    encryption: str | None = None
    content = b"all of it" * 1_000
    breaks_off = 0

    def _handle(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        self.rfile.read(length)
        owner = self.headers.get("x-amz-expected-bucket-owner")
        signed_for = self.headers.get("Authorization", "").split("/")[2:3]
        type(self).encryption = self.headers.get("x-amz-server-side-encryption")
        if signed_for != [self.region]:
            self.send_response(301)
        elif owner not in (None, OWNER):
            self.send_response(403)
        else:
            self.send_response(200)
            self.send_header("ETag", '"1"')
        content = self.content if self.command == "GET" else b""
        self.send_header("x-amz-bucket-region", self.region)
        self.send_header("Last-Modified", self.date_time_string())
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET" and self.breaks_off:
            type(self).breaks_off -= 1
            content = content[: len(content) // 2]
        self.wfile.write(content)

    do_HEAD = do_GET = do_PUT = _handle  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def played(s3_bucket, monkeypatch) -> Iterator[None]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), PlayedS3)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    yield
    server.shutdown()
    server.server_close()


def test_another_region_than_the_buckets(played, monkeypatch):
    monkeypatch.setenv("AWS_REGION", "us-west-2")
    name = a_bucket()
    with pytest.raises(
        LakeError, match=f"bucket {name} is in region eu-west-1, but us-west-2"
    ) as e:
        Storage(f"s3a://{name}/lake").read("x")
    assert one_line(e).endswith("set AWS_REGION=eu-west-1")


def test_without_a_region_that_of_the_bucket_counts(played, monkeypatch, tmp_path):
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    storage = Storage(f"s3a://{a_bucket()}/lake")
    assert storage.delta_options["AWS_REGION"] == "eu-west-1"


def test_a_bucket_of_another_account(played):
    mine = Storage(f"s3a://{a_bucket()}/lake", S3Settings(bucket_owner=OWNER))
    mine.write("x", b"1")
    other = S3Settings(bucket_owner="999999999999")
    with pytest.raises(LakeError, match=r"account 999999999999 owns the bucket \(s3.bucket") as e:
        Storage(f"s3a://{a_bucket()}/lake", other).write("x", b"1")
    one_line(e)


def test_an_answer_that_breaks_off_is_asked_for_again(played):
    storage = Storage(f"s3a://{a_bucket()}/lake")
    PlayedS3.breaks_off = 3
    assert storage.read("x") == PlayedS3.content
    assert PlayedS3.breaks_off == 0
    PlayedS3.breaks_off = 100
    with pytest.raises(LakeError, match=r"cannot read s3a://.*/x|does not answer") as e:
        storage.read("x")
    one_line(e)
    PlayedS3.breaks_off = 0


def test_encryption_goes_with_what_is_written_by_us_and_by_delta(s3_server, s3_bucket, played):
    storage = Storage(f"s3a://{a_bucket()}/lake", S3Settings(encryption="aws:kms", kms_key_id="k"))
    storage.write("x", b"1")
    assert PlayedS3.encryption == "aws:kms"
    options = storage.delta_options
    assert options["aws_server_side_encryption"] == "aws:kms"
    assert options["aws_sse_kms_key_id"] == "k"


@pytest.mark.parametrize(
    ("s3", "problem"),
    [
        ({"bucket_owner": "me"}, "s3.bucket_owner"),
        ({"kms_key_id": "k"}, "need encryption = 'aws:kms'"),
        ({"encryption": "AES256", "bucket_key": True}, "need encryption = 'aws:kms'"),
        ({"secret": "x"}, "s3.secret"),
    ],
)
def test_settings_that_make_no_sense_are_refused(s3, problem):
    with pytest.raises(SettingsError, match=problem):
        load_settings(s3=s3)


def test_an_empty_place_is_no_lake(s3_bucket):
    with pytest.raises(LakeNotFoundError, match=f"no lake at s3a://{s3_bucket}/x: no Delta table"):
        open_lake(f"s3a://{s3_bucket}/x")
