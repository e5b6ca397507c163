#!/bin/sh
# Checks what taste does not: who may include whom, sizes, line lengths, leftovers. Run from the
# source root; prints every offender; exit status 1 when there is one.
set -u
found=$(mktemp)
trap 'rm -f "$found"' EXIT

sources=$(find proto store pipelines orchestrator workers tests -type f -name '*.[ch]' | sort)
# What people read, but for what is data.
texts=$(find . -type f \( -name '*.[ch]' -o -name '*.proto' -o -name '*.md' \) \
    ! -path './build*' ! -path './.git/*' ! -path './.jielong/*' ! -path './tests/golden/*' \
    ! -path './tests/fuzz/corpus/*' | sort)

# A folder sees itself and those below it; what lies within another folder's folders is its own.
# Outside libraries have one door each.
awk '
BEGIN {
    below["proto"] = "proto"
    below["store"] = "store proto"
    below["pipelines"] = "pipelines proto"
    below["orchestrator"] = "orchestrator pipelines store proto"
    below["workers"] = "workers store proto"
    door["zmq.h"] = door["yaml.h"] = door["jansson.h"] = "proto/"
    door["lmdb.h"] = "store/"
    door["microhttpd.h"] = "orchestrator/web/"
    door["cblas.h"] = door["openblas_config.h"] = "workers/math/"
    door["pcre2.h"] = door["utf8proc.h"] = door["zlib.h"] = door["zstd.h"] = door["iconv.h"] = "workers/text/"
    # within workers/: math knows no model, text no tensor
    inner["workers/math"] = "workers/math"
    inner["workers/model"] = "workers/model workers/math"
    inner["workers/text"] = "workers/text"
    inner["workers/formats"] = "workers/formats workers/model workers/text workers/math"
    inner["workers/tasks"] = "workers/tasks " inner["workers/formats"]
    inner["workers/selftest"] = "workers/selftest " inner["workers/tasks"]
}
function allowed(list, what,    parts, n, i) {
    n = split(list, parts, " ")
    for (i = 1; i <= n; i++)
        if (parts[i] == what)
            return 1
    return 0
}
function folder(path) {
    sub(/[^\/]*$/, "", path)
    return path
}
/^[ \t]*#[ \t]*include[ \t]*[<"]/ {
    match($0, /[<"][^>"]*[>"]/)
    header = substr($0, RSTART + 1, RLENGTH - 2)
    quoted = substr($0, RSTART, 1) == "\""
    n = split(FILENAME, from, "/")
    m = split(header, to, "/")
    name = to[m]
    if (from[1] == "tests")
        next
    if (header in door && index(FILENAME, door[header]) != 1)
        print FILENAME ":" FNR ": <" header "> belongs behind " door[header]
    if (!quoted)
        next
    if (m < 2)
        print FILENAME ":" FNR ": \"" header "\" is not included by its path from the root"
    else if (!allowed(below[from[1]], to[1]))
        print FILENAME ":" FNR ": " from[1] "/ must not know " header
    else if (name ~ /_int\.h$/ && folder(FILENAME) != folder(header))
        print FILENAME ":" FNR ": " header " is for its own folder only"
    else if (m > 2 && n > 2 && (from[1] "/" from[2]) in inner &&
        !allowed(inner[from[1] "/" from[2]], to[1] "/" to[2]))
        print FILENAME ":" FNR ": " from[1] "/" from[2] "/ must not know " header
}' $sources >>"$found"

# Files of at most 600 lines, functions of at most 100: from the brace on its own line in column
# 1 to the next.
awk '
FNR == 1 { if (NR > 1 && lines > 600) print file ": " lines " lines"; start = 0 }
{ file = FILENAME; lines = FNR }
/^{/ { start = FNR }
/^}/ {
    if (start && FNR - start - 1 > 100)
        print FILENAME ":" start ": a function of " FNR - start - 1 " lines"
    start = 0
}
END { if (lines > 600) print file ": " lines " lines" }' $sources >>"$found"

# Lines of at most 100 characters: a byte that continues a UTF-8 character does not count.
LC_ALL=C awk '
FILENAME !~ /\.md$/ {
    line = $0
    gsub(/[\200-\277]/, "", line)
    if (length(line) > 100)
        print FILENAME ":" FNR ": " length(line) " columns"
}' $(echo "$texts" | grep -v '\.proto$') >>"$found"

# Leftovers. (The words are put together so that this file does not hold them.)
left="TO""DO|FIX""ME|XX""X"
grep -nE "(^|[^A-Za-z])($left)([^A-Za-z]|\$)" $texts >>"$found"

cat "$found"
test ! -s "$found"
