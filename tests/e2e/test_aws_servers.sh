#!/usr/bin/env bash
# What the tests of the AWS adapters rest on: the servers refuse what is signed with a wrong key, and do what AWS does
# with notifications, dead letters and versions of a secret.
. "$(dirname "$0")/lib.sh"

# use_key SECRET: of the requests that follow; not on a command line
use_key() {
    (umask 077 && printf 'user = "%s:%s"\n' "$AWS_ACCESS_KEY_ID" "$1" >"$work/key")
}
# signed SERVICE CURL_ARGUMENT...: the answer, and its status in a last line
signed() {
    curl -sS --max-time 60 -K "$work/key" --aws-sigv4 "aws:amz:us-east-1:$1" -w '\n%{http_code}\n' "${@:2}"
}
# s3 METHOD PATH [FILE]
s3() {
    local file=${3:-/dev/null} body=()
    [ $# -lt 3 ] || body=(--data-binary "@$file" -H "Content-Type: application/octet-stream")
    signed s3 -X "$1" -H "x-amz-content-sha256: $(sha256sum "$file" | cut -d ' ' -f 1)" "${body[@]}" "$endpoint$2"
}
# sqs ACTION JSON
sqs() {
    signed sqs -H "Content-Type: application/x-amz-json-1.0" -H "X-Amz-Target: AmazonSQS.$1" -d "$2" "$endpoint/"
}
# secret ACTION JSON
secret() {
    signed secretsmanager -H "Content-Type: application/x-amz-json-1.1" -H "X-Amz-Target: secretsmanager.$1" \
        -d "$2" "$endpoint/"
}
status() { tail -n 1 <<<"$1"; }
# its body
body() { sed '$d' <<<"$1"; }
# member FILTER ANSWER: of its JSON
member() { body "$2" | jq -r "$1"; }

objects() {
    local answer key
    equal "$1: a bucket is made" 200 "$(status "$(s3 PUT /$bucket)")"
    equal "$1: an object is put" 200 "$(status "$(s3 PUT /$bucket/words.txt "$work/words")")"
    equal "$1: and read" "$(cat "$work/words")" "$(body "$(s3 GET /$bucket/words.txt)")"
    for key in a%20b a%2Bb a%25b %C3%BC a%3Db folder/a%26b; do
        equal "$1: a key of other letters is signed as it is sent: $key" 200 "$(status "$(s3 PUT "/$bucket/$key" "$work/words")")"
    done
    use_key "not-the-key-of-this-user"
    answer=$(s3 GET /$bucket/words.txt)
    contains "$1: with a wrong key it is not read" SignatureDoesNotMatch "$answer"
    equal "$1: which is said in the status" 403 "$(status "$answer")"
    equal "$1: and not written" 403 "$(status "$(s3 PUT /$bucket/wrong.txt "$work/words")")"
    equal "$1: nor without any key" 403 "$(curl -sS -o "$work/answer" -w '%{http_code}' "$endpoint/$bucket/words.txt")"
    use_key "$AWS_SECRET_ACCESS_KEY"
    equal "$1: so it is not there" 404 "$(status "$(s3 GET /$bucket/wrong.txt)")"
}

queue() {
    member .QueueUrl "$(sqs CreateQueue "{\"QueueName\":\"$1\",\"Attributes\":${2:-{\}}}")"
}
arn() {
    member .Attributes.QueueArn "$(sqs GetQueueAttributes "{\"QueueUrl\":\"$1\",\"AttributeNames\":[\"QueueArn\"]}")"
}
receive() {
    sqs ReceiveMessage "{\"QueueUrl\":\"$1\",\"WaitTimeSeconds\":${2:-10}}"
}

notifications() {
    local url key
    url=$(queue "$bucket-events")
    cat >"$work/notify" <<XML
<NotificationConfiguration><QueueConfiguration><Queue>$(arn "$url")</Queue><Event>s3:ObjectCreated:*</Event>
<Filter><S3Key><FilterRule><Name>suffix</Name><Value>.mp3</Value></FilterRule></S3Key></Filter>
</QueueConfiguration></NotificationConfiguration>
XML
    equal "a notification is asked for" 200 "$(status "$(s3 PUT "/$bucket?notification=" "$work/notify")")"
    key=$(member '.Messages[0].Body | fromjson | .Event' "$(receive "$url")")
    equal "the queue gets a test event first" s3:TestEvent "$key"
    s3 PUT "/$bucket/not-asked-for.txt" "$work/words" >/dev/null
    s3 PUT "/$bucket/a%20talk.mp3" "$work/words" >/dev/null
    key=$(member '.Messages[] | .Body | fromjson | .Records[]?.s3 | .bucket.name + " " + .object.key' \
        "$(sqs ReceiveMessage "{\"QueueUrl\":\"$url\",\"WaitTimeSeconds\":10,\"MaxNumberOfMessages\":10}")")
    equal "and then the object asked for, its key encoded" "$bucket a+talk.mp3" "$key"
}

dead_letters() {
    local dead url
    dead=$(queue "$bucket-dead")
    url=$(queue "$bucket-jobs" "{\"VisibilityTimeout\":\"0\",\"RedrivePolicy\":\"{\\\"deadLetterTargetArn\\\":\\\"$(arn "$dead")\\\",\\\"maxReceiveCount\\\":\\\"2\\\"}\"}")
    sqs SendMessage "{\"QueueUrl\":\"$url\",\"MessageBody\":\"poison\"}" >/dev/null
    equal "a message is received" poison "$(member '.Messages[0].Body' "$(receive "$url")")"
    equal "and again" poison "$(member '.Messages[0].Body' "$(receive "$url")")"
    equal "and not a third time" 0 "$(member '.Messages // [] | length' "$(receive "$url" 1)")"
    equal "but from the dead letters" poison "$(member '.Messages[0].Body' "$(receive "$dead")")"
}

versions() {
    local name="$bucket-secret" answer
    equal "a secret is made" 200 "$(status "$(secret CreateSecret "{\"Name\":\"$name\",\"SecretString\":\"first\"}")")"
    equal "and changed" 200 "$(status "$(secret PutSecretValue "{\"SecretId\":\"$name\",\"SecretString\":\"second\"}")")"
    equal "its value is the new one" second "$(member .SecretString "$(secret GetSecretValue "{\"SecretId\":\"$name\"}")")"
    answer=$(secret GetSecretValue "{\"SecretId\":\"$name\",\"VersionStage\":\"AWSPREVIOUS\"}")
    equal "and the stage before has the old one" first "$(member .SecretString "$answer")"
    use_key "not-the-key-of-this-user"
    for answer in "$(secret GetSecretValue "{\"SecretId\":\"$name\"}")" "$(sqs ListQueues '{}')"; do
        contains "with a wrong key nothing is told" SignatureDoesNotMatch "$answer"
        equal "and that is refused" 403 "$(status "$answer")"
    done
    use_key "$AWS_SECRET_ACCESS_KEY"
}

bucket="aegis-servers-$$"
echo "some words" >"$work/words"
aws_start radosgw
endpoint=$AWS_ENDPOINT_URL_S3
use_key "$AWS_SECRET_ACCESS_KEY"
objects radosgw
aws_start moto
endpoint=$AWS_ENDPOINT_URL
use_key "$AWS_SECRET_ACCESS_KEY"
objects moto
notifications
dead_letters
versions
done_testing
