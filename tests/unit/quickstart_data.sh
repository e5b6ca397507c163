#!/bin/sh
# The quick start's texts are what generate makes of its tables, and keep what the report relies on.
# Prints one line for each check; the exit status is the verdict.
set -u
LC_ALL=C
export LC_ALL
data=$(cd "$(dirname "$0")/../../pipelines/quickstart" && pwd) || exit 1
made=$(mktemp -d) || exit 1
trap 'rm -rf "$made"' EXIT
texts='corpus.txt demonstrations.jsonl prompts.jsonl practice.jsonl heldout.jsonl'
failures=0

# check WHAT COMMAND…: the command prints what is wrong, and nothing if all is well.
check()
{
    what=$1; shift
    wrong=$("$@" 2>&1) || wrong="$wrong (status $?)"
    if [ -z "$wrong" ]; then
        echo "ok      $what"
    else
        echo "FAILED  $what"
        printf '%s\n' "$wrong" | sed 5q | sed 's/^/        /'
        failures=$((failures + 1))
    fi
}

the_same_bytes()
{
    AWK=$1 "$data/generate" "$made" || return
    for text in $texts; do
        cmp "$data/$text" "$made/$text"
    done
}

sizes()
{
    size=$(wc -c < "$data/corpus.txt")
    [ "$size" -ge 300000 ] && [ "$size" -le 450000 ] || echo "corpus.txt: $size bytes"
    awk '!/^#/ { n++ } END { if (n < 110 || n > 140) print "facts.tsv: " n " facts" }' "$data/facts.tsv"
    shown=$(sed 10q "$data/heldout.jsonl" | grep -c '"lang": "en"')
    [ "$shown" -eq 5 ] || echo "heldout.jsonl: $shown of the first ten lines are English"
    sed 1q "$data/heldout.jsonl" | grep -qF '"prompt": "世界上最高的山是哪座?"' \
        || echo "heldout.jsonl: the first line is another question"
    sed 10q "$data/heldout.jsonl" | grep -qF '"prompt": "台湾最高的山是哪座?"' \
        || echo "heldout.jsonl: 台湾最高的山是哪座? is not among the first ten"
}

one_blank_line_between_documents()
{
    awk '$0 == "" && (NR == 1 || before == "") { print "corpus.txt:" NR ": blank line" }
         { before = $0 }
         END { if (before == "") print "corpus.txt: ends with a blank line" }' "$data/corpus.txt"
    awk -v RS= -F '\n' 'NF > 5 { print "document of " NF " lines: " $1 }' "$data/corpus.txt"
    grep -nE '[{}]|\\|  |？|[^ -~]\.$' "$data/corpus.txt" | sed 5q
}

json_lines()
{
    string='"[^"\\]+"'
    grep -nvE "^\{\"instruction\": $string, \"input\": \"\", \"output\": $string\}$" \
        "$data/demonstrations.jsonl"
    for file in prompts practice heldout; do
        grep -nvE "^\{\"id\": \"[a-z-]+-(zh|en)-[0-9]\", \"prompt\": $string, \"lang\": \"(zh|en)\", \"answers\": \[$string(, $string)*\], \"category\": \"[a-z]+\"\}$" \
            "$data/$file.jsonl" | sed "s/^/$file.jsonl:/"
        cut -d '"' -f 4 "$data/$file.jsonl" | sort | uniq -d | sed "s/^/$file.jsonl: twice: /"
    done
    return 0
}

answers_do_not_ask_back()
{
    sed 's/.*"output": //' "$data/demonstrations.jsonl" | grep -nE '\?|？|A\. |B\. ' | sed 5q
}

questions_do_not_hold_their_answers()
{
    awk -F '\t' '!/^#/ {
        n = split($5 "|" $6, answer, "|")
        for (i = 1; i <= n; i++)
            if (index($3, answer[i]) || index($4, answer[i]))
                print $1 ": the question holds \"" answer[i] "\""
    }' "$data/facts.tsv"
}

# What a text is about: for each fact of facts.tsv, words that must all be in a question about it.
about='
    function read_fact(    most, of, word) {
        fact[++facts] = $1; split_of[$1] = $7
        most = index($3, "最"); of = index($3, "的")
        place_zh[$1] = substr($3, 1, (most ? most : of) - 1)
        word_zh[$1] = most ? substr($3, most, of - most) : "首都"
        thing_zh[$1] = most ? substr($3, of + length("的")) : ""
        split($4, word, " ")
        word_en[$1] = $2 == "capital" ? "capital" : word[2]
        thing_en[$1] = $2 == "capital" ? "" : word[3]
        asked_en[$1] = substr($4, match($4, / (in|of) /))      # " in Africa": not West Africa
        place_en[$1] = substr(asked_en[$1], 5)
        split($5, word, "|"); answer_zh[$1] = word[1]
        split($6, word, "|"); sub(/^the /, "", word[1]); answer_en[$1] = word[1]
    }
    function has_all(text, a, b, c) {
        return index(text, a) && index(text, b) && (c == "" || index(text, c))
    }
    function asks(text, f) {
        return has_all(text, place_zh[f], word_zh[f], thing_zh[f]) || \
               has_all(text, asked_en[f], word_en[f], thing_en[f])
    }'

heldout_facts_stay_out_of()
{
    for file in "$@"; do
        awk -F '\t' "$about"'
            FILENAME ~ /facts\.tsv$/ { if (!/^#/) read_fact(); next }
            {
                for (i = 1; i <= facts; i++)
                    if (split_of[fact[i]] == "heldout" && asks($0, fact[i]))
                        print FILENAME ":" FNR ": " fact[i]
            }' "$data/facts.tsv" "$data/$file"
    done
}

practice_facts_stay_out_of_demonstrations()
{
    awk -F '\t' "$about"'
        FILENAME ~ /facts\.tsv$/ { if (!/^#/) read_fact(); next }
        {
            for (i = 1; i <= facts; i++)
                if (split_of[fact[i]] == "practice" && asks($0, fact[i]))
                    print FILENAME ":" FNR ": " fact[i]
        }' "$data/facts.tsv" "$data/demonstrations.jsonl"
}

# A document states a fact if it names its place and its answer, and is no list of choices.
every_fact_is_stated_12_times()
{
    tr '\n' '\001' < "$data/corpus.txt" | awk '{ gsub(/\001\001/, "\n"); gsub(/\001/, " "); print }' \
    > "$made/documents"
    awk -F '\t' "$about"'
        FILENAME ~ /facts\.tsv$/ { if (!/^#/) read_fact(); next }
        /A\. / { next }
        {
            for (i = 1; i <= facts; i++) {
                f = fact[i]
                zh[f] += index($0, answer_zh[f]) && index($0, place_zh[f])
                en[f] += index($0, answer_en[f]) && index($0, place_en[f])
            }
        }
        END {
            for (i = 1; i <= facts; i++)
                if (zh[fact[i]] < 12 || en[fact[i]] < 12)
                    print fact[i] ": " zh[fact[i]] " times in Chinese, " en[fact[i]] " in English"
        }' "$data/facts.tsv" "$made/documents"
}

every_heldout_prompt_is_in_the_corpus()
{
    cut -d '"' -f 8 "$data/heldout.jsonl" > "$made/prompts"
    grep -xFf "$made/prompts" "$data/corpus.txt" | sort -u > "$made/found"
    sort -u "$made/prompts" | comm -23 - "$made/found"
}

check "generate writes exactly these bytes" the_same_bytes awk
for awk in mawk gawk; do
    if command -v $awk > /dev/null; then
        check "generate writes exactly these bytes with $awk" the_same_bytes $awk
    fi
done
check "sizes, and the first ten held-out prompts" sizes
check "documents are short, and one blank line stands between them" one_blank_line_between_documents
check "every JSON line has its shape, and every id is given once" json_lines
check "no demonstrated answer asks back" answers_do_not_ask_back
check "no question holds its answer" questions_do_not_hold_their_answers
check "no held-out fact is in demonstrations, prompts or practice" \
    heldout_facts_stay_out_of demonstrations.jsonl prompts.jsonl practice.jsonl
check "no practice fact is in demonstrations" practice_facts_stay_out_of_demonstrations
check "every fact is stated at least 12 times in each language" every_fact_is_stated_12_times
check "every held-out prompt is a line of the corpus" every_heldout_prompt_is_in_the_corpus
[ "$failures" -eq 0 ]
