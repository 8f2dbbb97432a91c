#!/usr/bin/env bash
# Draws docs/img/*.svg from bench/results/latest.json, by gnuplot.
#
# One chart per bench/chart/NAME.gp; the line "# rows: REGEX" of its head says which rows it shows:
# each as a bar for Aegis and one for each of its peers ("required" is none). With "# label: REGEX" the
# group of that, in the row's name, says what a bar is of. A chart whose rows were not measured is
# left as it is.
set -euo pipefail
cd "$(dirname "$0")/../.."
results=${1:-bench/results/latest.json}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p docs/img

for chart in bench/chart/*.gp; do
    name=$(basename "$chart" .gp)
    [ "$name" != style ] || continue
    pattern=$(sed -n 's/^# rows: //p' "$chart")
    label=$(sed -n 's/^# label: //p' "$chart")
    # label, value, who (0 Aegis, 1 peer); Aegis once per row name, in the order they were measured
    jq -r --arg pattern "$pattern" --arg of "$label" '
        def named($who): if $of == "" then $who
                         else (.name | capture($of).of) + (if $who == "Aegis" then "" else ", " + $who end) end;
        [.rows[] | select(.name | test($pattern))]
        | [to_entries | group_by(.value.name)[] | {at: .[0].key, rows: map(.value)}] | sort_by(.at)[].rows
        | (.[0] | [named("Aegis"), .value, 0, .name, .unit]),
          (.[] | select(.peer_value != null and .peer != "required") | [named(.peer), .peer_value, 1, .name, .unit])
        | @tsv' "$results" >"$work/data"
    [ -s "$work/data" ] || {
        echo "charts: nothing measured for $name" >&2
        continue
    }
    bars=$(wc -l <"$work/data")
    gnuplot -e "height=$((bars > 6 ? 110 + 25 * bars : 260)); data='$work/data'; output_file='docs/img/$name.svg'" bench/chart/style.gp "$chart"
    echo "docs/img/$name.svg"
done
