#!/usr/bin/env bash
# Options, settings, help, exit codes and error texts: nothing here processes media.
. "$(dirname "$0")/lib.sh"

one_line() { [ "$(wc -l <<<"$1")" = 1 ] && case "$1" in "aegis: "*) true ;; *) false ;; esac; }
# refuses DESCRIPTION STATUS TEXT COMMAND...: one line on standard error, nothing on standard output
refuses() {
    local description=$1 expected=$2 needle=$3 status err
    shift 3
    err=$("$@" 2>&1 >"$work/stdout")
    status=$?
    if [ "$status" = "$expected" ] && one_line "$err" && [ ! -s "$work/stdout" ] && [[ $err == *"$needle"* ]]; then
        pass "$description"
    else
        fail "$description" "exit $status, wanted $expected and '$needle': $err"
    fi
}

# ---- wrong command lines ----
refuses "a misspelt option" 2 "did you mean '--json'?" aegis list --jsno
refuses "a misspelt command" 2 "did you mean 'search'?" aegis serach x
refuses "an option without its value" 2 "needs a value" aegis transcript x --format
refuses "a value that is not allowed" 2 "txt, srt, vtt or json" aegis transcript x --format doc
refuses "a missing operand" 2 "needs QUERY" aegis search
refuses "one operand too many" 2 "does not take 'b'" aegis show a b
refuses "not a number" 2 "whole number" aegis list --limit many
refuses "a bad date" 2 "--since" aegis list --since yesterday
refuses "an unknown setting" 2 "did you mean 'workers'?" aegis list --set worker=3
refuses "a setting without a value" 2 "KEY=VALUE" aegis list --set workers
refuses "a flag's bad value names the flag" 2 "--workers" aegis serve --workers none
refuses "a missing configuration file" 3 "no-such.conf" aegis list --config "$work/no-such.conf"
refuses "a data directory that is a file" 2 "not a directory" "$AEGIS" --data "$AEGIS" add "$work"
exits "no command at all prints help" 2 aegis
contains "on how to begin" "aegis add" "$out"

# ---- help ----
exits "help is no error" 0 aegis --help
overview=$out
for command in $(aegis help --completion bash | sed -n 's/^ *commands="\(.*\)"$/\1/p'); do
    contains "the overview names $command" "  $command " "$overview"
    exits "$command has help" 0 aegis "$command" --help
    text=$out
    equal "$command's help fits 80 columns" "" "$(awk 'length > 80 && !/^  /' <<<"$text")"
    for option in $(aegis help --man "$command" | sed -n 's/^.*\\fB\\-\\-\([a-z\\-]*\)\\fR.*$/\1/p' | tr -d '\\'); do
        contains "$command's help mentions --$option" "--$option" "$text"
    done
done
exits "version" 0 aegis --version
equal "version is one line" 1 "$(wc -l <<<"$out")"
equal "version in JSON" string "$(aegis version --json | jq -r '.version | type')"

# ---- documentation made from the same tables ----
equal "docs/cli.md is the program's" "" "$(aegis help --markdown cli | diff - "$AEGIS_SOURCE/docs/cli.md" | head -5)"
equal "docs/configuration.md is the program's" "" \
    "$(aegis help --markdown configuration | diff - "$AEGIS_SOURCE/docs/configuration.md" | head -5)"
mkdir "$work/generated"
exits "man pages and completion are written" 0 aegis help --generate "$work/generated"
equal "a page for each command and one for all" \
    "$(aegis --help | sed -n '/^Commands/,/^$/p' | grep -c '^  [a-z]')" "$(ls "$work/generated/man1" | grep -c 'aegis-')"
if command -v man >/dev/null; then
    equal "man understands them" "" "$(for page in "$work"/generated/man1/*; do
        MANROFFSEQ='' man --warnings -E UTF-8 -l -Tutf8 -Z "$page" 2>&1 >/dev/null
    done)"
fi
completes() { # LINE WORD: the words offered for WORD at the end of LINE
    bash -c 'source "$1"; shift; line=$1 COMP_WORDS=($1) COMP_CWORD=$((${#COMP_WORDS[@]}))
        COMP_WORDS+=("$2"); compopt() { :; }; _aegis; printf "%s\n" "${COMPREPLY[@]}"' \
        - "$work/generated/completions/aegis" "$1" "$2" 2>&1
}
equal "commands complete" "search" "$(completes "aegis" "sea")"
equal "options complete" "--until-idle" "$(completes "aegis serve" "--un")"
equal "values complete" "srt" "$(completes "aegis transcript --format" "s")"
equal "words complete" "redrive" "$(completes "aegis dead" "re")"
equal "after a global option's value" "search" "$(completes "aegis --data x" "sea")"

# ---- configuration ----
mkdir -p "$data"
printf 'workers = 3\n[openai]\napi_key = sk-test-0123456789abcdef\n' >"$data/aegis.conf"
setting() { aegis config --json "$@" | jq -r --arg key "$key" '.settings[] | select(.key == $key) | "\(.value) \(.from)"'; }
key=workers
equal "from the file, with its line" "3 aegis.conf:1" "$(setting)"
equal "the environment wins over the file" "4 AEGIS_WORKERS" "$(AEGIS_WORKERS=4 setting)"
equal "a flag wins over both" "5 --set workers" "$(AEGIS_WORKERS=4 setting --set workers=5)"
equal "an empty variable is not set" "3 aegis.conf:1" "$(AEGIS_WORKERS='' setting)"
key=retry.cap
equal "the default" "300000 default" "$(setting)"
out=$(aegis config; aegis config --json)
case "$out" in *0123456789*) fail "secrets are masked" "$out" ;; *) pass "secrets are masked" ;; esac
contains "the end of the key tells which" "cdef" "$out"
exits "a valid configuration" 0 aegis config check
printf '\n[openia]\napi_key = x\n' >>"$data/aegis.conf"
refuses "an unknown key names its line" 2 "aegis.conf:6" aegis config check
contains "and what was meant" "openai.api_key" "$(aegis config check 2>&1)"
printf 'drain = soon\n' >"$data/aegis.conf"
refuses "a bad value names its line" 2 "aegis.conf:1" aegis list
rm "$data/aegis.conf"
refuses "a bad variable is named" 2 "AEGIS_WORKERS" env AEGIS_WORKERS=x "$AEGIS" --data "$data" list

# ---- colours and places ----
unset NO_COLOR
plain() { case "$1" in *$'\033'*) fail "$2" "$1" ;; *) pass "$2" ;; esac; }
plain "$(aegis config)" "no colours into a pipe"
contains "colours when asked for" $'\033[' "$(aegis config --color always)"
plain "$(NO_COLOR=1 script -qec "$AEGIS --data $data config" /dev/null 2>/dev/null | tr -d '\r')" "NO_COLOR is respected on a terminal"
export NO_COLOR=1
equal "AEGIS_DATA" "$work/elsewhere" "$(AEGIS_DATA=$work/elsewhere "$AEGIS" config --json | jq -r .data)"
equal "--data wins" "$data" "$(AEGIS_DATA=$work/elsewhere aegis config --json | jq -r .data)"
equal "XDG_DATA_HOME" "$work/xdg/aegis" "$(XDG_DATA_HOME=$work/xdg "$AEGIS" config --json | jq -r .data)"
exits "a full disk under the output is told" 1 sh -c "'$AEGIS' config >/dev/full"
contains "in words" "No space left" "$out"

# ---- a directory of a newer Aegis ----
newer="$work/newer"
printf 'x' >"$work/x.txt"
exits "a directory is made" 0 "$AEGIS" --data "$newer" add --detach --prefix p "$work/x.txt"
sqlite3 "$newer/aegis.db" "UPDATE schema_migrations SET version = 9999 WHERE version = (SELECT max(version) FROM schema_migrations)"
before=$(sha256sum <"$newer/aegis.db")
exits "a newer schema is refused" 6 "$AEGIS" --data "$newer" list
equal "and left untouched" "$before" "$(sha256sum <"$newer/aegis.db")"

# ---- doctor ----
exits "doctor finds nothing wrong" 0 aegis doctor
exits "doctor in JSON" 0 aegis doctor --json
equal "every check has a status" true "$(jq 'all(.checks[]; .status == "ok" or .status == "warn" or .status == "fail")' <<<"$out")"
contains "a variable nobody reads is noticed" "AEGIS_WORKERS" "$(AEGIS_WROKERS=3 aegis doctor)"
contains "plain HTTP to another machine is noticed" '`aws.endpoint_url` leads to another machine over plain HTTP' \
    "$(AEGIS_STORE=s3 AWS_REGION=eu-central-1 AWS_ENDPOINT_URL=http://s3.invalid AWS_ACCESS_KEY_ID=a AWS_SECRET_ACCESS_KEY=s \
        aegis doctor --offline | tr -s ' \n' ' ')"
exits "a key that cannot work is a failure" 1 env OPENAI_API_KEY=sk-wrong OPENAI_BASE_URL=http://127.0.0.1:9/v1 "$AEGIS" --data "$data" doctor
case "$out" in *sk-wrong*) fail "the key is not told" "$out" ;; *) pass "the key is not told" ;; esac
done_testing
