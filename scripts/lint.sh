#!/usr/bin/env bash
# Formatting, banned functions, cppcheck, clang-tidy (.clang-tidy). Exits non-zero if any finds
# something: lint.sh BUILD, a configured build directory whose compile_commands.json clang-tidy reads.
set -uo pipefail
build=${1:?build directory}
jobs=${JOBS:-$(nproc)}
status=0

echo "== clang-format"
git ls-files -z '*.c' '*.h' ':!third_party' | xargs -0 clang-format --dry-run -Werror || status=1

echo "== banned functions"
banned='strcpy|strcat|stpcpy|sprintf|vsprintf|gets|strtok|atoi|atol|atof|system|popen|alloca|tmpnam|mktemp'
if git grep -nE "\\b($banned)\\(" -- 'src/*.c' 'src/*.h'; then
    status=1
fi

# varFuncNullUB: NULL is a pointer in every libc that has what Aegis needs, so the spelling
# (void *)NULL would only be noise.
echo "== cppcheck"
cppcheck --quiet -j "$jobs" --error-exitcode=1 --inline-suppr --std=c11 --enable=warning,portability \
    --suppress=missingIncludeSystem --suppress=varFuncNullUB -Isrc -D_GNU_SOURCE -D__clang_analyzer__ \
    src || status=1

echo "== clang-tidy"
git ls-files -z 'src/*.c' |
    xargs -0 -P "$jobs" -n 4 clang-tidy -p "$build" --quiet 2>/dev/null || status=1
exit $status
