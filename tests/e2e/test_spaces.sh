#!/usr/bin/env bash
# Changing the embedding model on SQLite (spaces.sh).
. "$(dirname "$0")/lib.sh"
left_of() {
    python3 - "$data" "$1" <<'PY'
import glob, sqlite3, sys
db = sqlite3.connect(sys.argv[1] + "/aegis.db")
rows = sum(db.execute(f"SELECT count(*) FROM {t} WHERE space_id = ?", (sys.argv[2],)).fetchone()[0]
           for t in ("space_run", "result_space", "chunk_run", "result"))
print(rows + len(glob.glob(f"{sys.argv[1]}/vectors-{sys.argv[2]}[.-]*")))
PY
}
. "$(dirname "$0")/spaces.sh"
done_testing
