#!/usr/bin/env bash
# Draws docs/img/*.svg from bench/results/latest.json, by gnuplot.
#
# One chart per bench/chart/NAME.gp; the line "# rows: REGEX" of its head says which rows it shows:
# each as a bar for Aegis and one for each of its peers. A chart whose rows were not measured is left
# as it is.
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
    # label, value, who (0 Aegis, 1 peer); Aegis once per row name
    jq -r --arg pattern "$pattern" '
        [.rows[] | select(.name | test($pattern))] | group_by(.name)[]
        | (.[0] | ["Aegis", .value, 0, .name, .unit]),
          (.[] | select(.peer_value != null) | [.peer, .peer_value, 1, .name, .unit])
        | @tsv' "$results" >"$work/data"
    [ -s "$work/data" ] || {
        echo "charts: nothing measured for $name" >&2
        continue
    }
    gnuplot -e "data='$work/data'; output_file='docs/img/$name.svg'" bench/chart/style.gp "$chart"
    echo "docs/img/$name.svg"
done
