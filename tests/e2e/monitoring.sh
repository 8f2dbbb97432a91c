# Sourced behind lib.sh: a service with metrics on a port of its own, and what it answers.

# starts NAME COMMAND...: the service; waits until it is ready; sets $service (its pid) and $at (its address)
starts() {
    local log="$work/$1.log"
    shift
    AEGIS_METRICS_LISTEN=127.0.0.1:0 "$AEGIS" --data "$data" --log-format json "$@" >"$log" 2>&1 &
    service=$!
    pids+=("$service")
    wait_until 20 grep -qE '"(serve|watch).ready"' "$log" || fail "the service starts" "$(cat "$log")"
    at=$(jq -r 'select(.event == "metrics.ready").listen' "$log")
}
# stops DESCRIPTION
stops() {
    kill -TERM "$service"
    wait "$service"
    equal "$1" 0 $?
}
page() { curl -sS -m 10 "http://$at/$1"; }
status() { curl -sS -m 10 -o /dev/null -w '%{http_code}' "http://$at/$1"; }
ready_is() { [ "$(status readyz)" = "$1" ]; }
# value SAMPLE: of one scrape that is checked to the letter
value() { page metrics | python3 "$AEGIS_SOURCE/tests/e2e/exposition.py" "$1"; }
value_is() { [ "$(value "$1")" = "$2" ]; }
# reaches DESCRIPTION SAMPLE VALUE: figures may be some seconds old
reaches() {
    if wait_until 20 value_is "$2" "$3"; then pass "$1"; else fail "$1" "$2 is $(value "$2"), not $3"; fi
}
# well_formed DESCRIPTION
well_formed() {
    page metrics >"$work/scrape"
    exits "$1" 0 python3 "$AEGIS_SOURCE/tests/e2e/exposition.py" <"$work/scrape"
    if command -v promtool >/dev/null; then
        exits "$1, says promtool" 0 promtool check metrics <"$work/scrape"
    fi
}
