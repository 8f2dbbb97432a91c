#!/usr/bin/env bash
# Formatting, banned functions, cppcheck, clang-tidy. Exits non-zero if any finds something.
set -uo pipefail
build=${1:-build}
status=0

echo "== clang-format"
git ls-files '*.c' '*.h' | xargs clang-format --dry-run -Werror || status=1

echo "== banned functions"
if git grep -nwE '(strcpy|strcat|sprintf|vsprintf|gets|strtok|atoi|atol|system|popen|alloca|tmpnam|mktemp)\(' -- 'src/*.c' 'src/*.h'; then
    status=1
fi

echo "== cppcheck"
cppcheck --quiet --error-exitcode=1 --inline-suppr --std=c11 --enable=warning,portability \
    --suppress=missingIncludeSystem -Isrc -D_GNU_SOURCE src || status=1

if [ -f "$build/compile_commands.json" ]; then
    echo "== clang-tidy"
    git ls-files 'src/*.c' | xargs clang-tidy -p "$build" --quiet --warnings-as-errors='*' \
        --checks='-*,bugprone-*,-bugprone-easily-swappable-parameters,-bugprone-narrowing-conversions,-bugprone-reserved-identifier,-bugprone-assignment-in-if-condition,clang-analyzer-*,-clang-analyzer-security.insecureAPI.*' 2>/dev/null || status=1
fi
exit $status
