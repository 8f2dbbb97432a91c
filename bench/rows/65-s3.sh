# bench/rows/65-s3.sh
# one object of 1 GB from S3 (radosgw on this machine) to the disk, against aws s3 cp and curl
row() {
    local round file="$work/s3-object" url mb
    mb=${BENCH_S3_MB:-1000}
    rm -f "$work"/s3-[a-z]*
    set -a
    . "$(tests/support/radosgw.sh start "$work/radosgw")"
    set +a
    export AWS_ENDPOINT_URL_S3=${AWS_ENDPOINT_URL_S3:-$AWS_ENDPOINT_URL}
    url="$AWS_ENDPOINT_URL_S3/bench/object"
    head -c "$((mb * 1000000))" /dev/urandom >"$file"
    "$BUILD/bench/bench_s3" bucket bench
    "$BUILD/bench/bench_s3" put bench object "$file"
    rm "$file"
    mkdir -p "$work/s3"
    for round in $(seq "$ROUNDS"); do
        measured "$BUILD/bench/bench_s3" get bench object "$work/s3"
        note_s3 aegis "$mb"
        measured aws --endpoint-url "$AWS_ENDPOINT_URL_S3" s3 cp --quiet s3://bench/object "$work/s3/object"
        note_s3 aws "$mb"
        rm "$work/s3/object"
        measured curl -fsS --aws-sigv4 "aws:amz:us-east-1:s3" -K <(printf 'user = "%s:%s"\n' "$AWS_ACCESS_KEY_ID" "$AWS_SECRET_ACCESS_KEY") \
            -H "x-amz-content-sha256: UNSIGNED-PAYLOAD" -o "$work/s3/object" "$url"
        note_s3 curl "$mb"
        rm "$work/s3/object"
    done
    emit "download from S3" "$(median "$work/s3-aegis")" MB/s "aws s3 cp" "$(median "$work/s3-aws")"
    emit "download from S3" "$(median "$work/s3-aegis")" MB/s curl "$(median "$work/s3-curl")"
    emit "peak memory of a download" "$(median "$work/s3-aegis-rss")" MiB "aws s3 cp" "$(median "$work/s3-aws-rss")" lower
    setting object "$mb MB, server radosgw in memory on the same machine, from start to end of a process"
    setting rounds "$ROUNDS, interleaved; medians"
    tests/support/radosgw.sh stop "$work/radosgw"
}

note_s3() {
    note "s3-$1" "$(jq -n "$2 / $(measure seconds)")"
    note "s3-$1-rss" "$(measure peak_rss_mib)"
}
