#!/usr/bin/env bash
# src/database/schema.prisma with the real Prisma: validated, generated, and used by a TypeScript program on a
# real PostgreSQL, as docs/prisma.md tells.
. "$(dirname "$0")/lib.sh"
command -v npm >/dev/null && command -v node >/dev/null || without "npm is not installed"
postgres_start
postgres_database prisma || without "the server does not let this login create databases"
export DATABASE_URL=$database

here="$AEGIS_SOURCE/tests/e2e/prisma"
mkdir "$work/program"
cp "$here"/* "$here/.npmrc" "$AEGIS_SOURCE/src/database/schema.prisma" "$work/program"
cd "$work/program"
if ! npm ci --ignore-scripts --no-audit --no-fund >npm.log 2>&1; then
    grep -qE "ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ETIMEDOUT|ENETUNREACH" npm.log && without "the npm registry cannot be reached"
    fail "npm ci" "$(tail -n 20 npm.log)"
    done_testing
fi
PATH=$(echo "$PWD"/node_modules/node-linux-*/bin):$PATH # Prisma 7 needs Node.js 20.19 or later, Debian 12 has 18
# No engine binary is needed for these, and none can be fetched everywhere.
export PRISMA_SCHEMA_ENGINE_BINARY=/bin/false CHECKPOINT_DISABLE=1 PRISMA_HIDE_UPDATE_MESSAGE=1
prisma() { node_modules/.bin/prisma "$@"; }

cp schema.prisma before.prisma
exits "prisma format" 0 prisma format
equal "the schema is formatted as Prisma does" "" "$(diff before.prisma schema.prisma)"
exits "prisma validate" 0 prisma validate
contains "it is valid" "is valid" "$out"
equal "without a warning" "" "$(grep -i warning <<<"$out")"
exits "prisma generate" 0 prisma generate
sed 's/^  media_id  *BigInt/& @wrong/' before.prisma >schema.prisma
exits "a wrong schema is not valid" 1 prisma validate
cp before.prisma schema.prisma

exits "aegis db migrate" 0 "$AEGIS" db migrate
exits "rows" 0 "$client/psql" -qX -v ON_ERROR_STOP=1 "$database" -f fill.sql
exits "the program's types are right" 0 node_modules/.bin/tsc -p .
[ "$(sql "$DATABASE_URL" "SELECT to_regtype('halfvec') IS NULL")" = f ] || sed -i 's/::halfvec/::vector/' check.ts # as the page says
exits "the program finds what is there" 0 node --import tsx --test check.ts
done_testing
