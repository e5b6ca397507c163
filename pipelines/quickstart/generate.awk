# Writes the quick start's texts from facts.tsv and templates.tsv into the folder `out`.
#
# The same bytes from every awk: no length() or substr() is asked to count characters, only to
# cut where index() has found something; numbers stay whole and below 2^53.

BEGIN {
    FS = "\t"
    seed = 20231                  # any number from 1 to 2147483646
    # what follows a question in the corpus, in random order; each question is asked twice
    follow = "short short short short long back back back back back choices choices chatter chatter"
    demo_questions = 4            # for each demonstrated fact and language; the last gets a long answer
    prompt_questions = 2          # to be answered by the model and ranked
    heldout_questions = 2
    practice_questions["practice"] = 3
    practice_questions["demo"] = 1
}

/^#/ || /^$/ { next }
FILENAME ~ /facts\.tsv$/ { read_fact(); next }
{ read_template() }

END {
    if (failed)
        exit 1
    write_corpus()
    write_demonstrations()
    write_prompts()
    write_practice()
    write_heldout()
}

function die(message)
{
    print message | "cat 1>&2"
    failed = 1
    exit 1
}

# ---- random numbers: Park and Miller's minimal standard ----

function random(n)                # 0 … n-1
{
    seed = (seed * 16807) % 2147483647
    return seed % n
}

function shuffle(list, n,    i, k, held)
{
    for (i = n; i > 1; i--) {
        k = random(i) + 1
        held = list[i]; list[i] = list[k]; list[k] = held
    }
}

# ---- facts ----

function read_fact(    f, part)
{
    if (NF != 7)
        die(FILENAME ":" FNR ": 7 columns expected, found " NF)
    if ($7 !~ /^(demo|practice|heldout)$/)
        die(FILENAME ":" FNR ": split is demo, practice or heldout, not '" $7 "'")
    f = ++facts
    id[f] = $1; category[f] = $2; split_of[f] = $7
    number_of[$1] = f
    member[$2, ++members[$2]] = f
    subject["zh", f] = $3; accepted["zh", f] = $5
    subject["en", f] = $4; accepted["en", f] = $6
    split($5, part, "|"); answer["zh", f] = part[1]
    split($6, part, "|"); answer["en", f] = part[1]
    take_apart_zh(f, $3)
    take_apart_en(f, $4)
}

# 台湾最高的山: place 台湾, degree 最高, thing 山.   法国的首都: place 法国.
function take_apart_zh(f, s,    most, of)
{
    most = index(s, "最"); of = index(s, "的")
    if (!of)
        die(FILENAME ":" FNR ": no 的 in '" s "'")
    place["zh", f] = substr(s, 1, (most ? most : of) - 1)
    degree["zh", f] = most ? substr(s, most, of - most) : ""
    comparative["zh", f] = "更" substr(degree["zh", f], length("最") + 1)
    thing["zh", f] = substr(s, of + length("的"))
}

# the highest mountain in Taiwan: place Taiwan, degree highest, thing mountain.
function take_apart_en(f, s,    word, at)
{
    split(s, word, " ")
    at = match(s, / (in|of) /)
    if (!at)
        die(FILENAME ":" FNR ": no 'in' or 'of' in '" s "'")
    place["en", f] = substr(s, at + 4)
    degree["en", f] = word[2]
    comparative["en", f] = word[2]; sub(/est$/, "er", comparative["en", f])
    thing["en", f] = word[3]
}

# ---- templates ----

function read_template(    key)
{
    if (NF != 4)
        die(FILENAME ":" FNR ": 4 columns expected, found " NF)
    key = $1 SUBSEP $2 SUBSEP $3
    if ($1 == "show") {
        show_fact[++shows] = $2; show_lang[shows] = $3; show_question[shows] = $4
    } else
        template[key, ++templates[key]] = $4
}

# How many templates of a kind serve a category; the n-th of them.
function count(kind, cat, lang)
{
    return templates[kind, "*", lang] + templates[kind, cat, lang]
}

function nth(kind, cat, lang, n,    any)
{
    any = templates[kind, "*", lang] + 0
    return n <= any ? template[kind, "*", lang, n] : template[kind, cat, lang, n - any]
}

# Takes the templates of a kind in turn, so that each is used as often as the others.
function next_of(kind, cat, lang)
{
    return nth(kind, cat, lang, turn[kind, cat, lang]++ % count(kind, cat, lang) + 1)
}

function without_the(s)
{
    sub(/^the /, "", s)
    return s
}

function capital(s)
{
    return toupper(substr(s, 1, 1)) substr(s, 2)
}

# Three more facts of the category, all with different answers: other[2], other[3], other[4].
function draw_others(f, lang,    k, n, candidate, taken)
{
    taken[answer[lang, f]]
    for (k = 2; k <= 4; k++) {
        n = 0
        do {
            if (++n > 10000)
                die("category " category[f] ": four facts with different answers are needed")
            candidate = member[category[f], random(members[category[f]]) + 1]
        } while (answer[lang, candidate] in taken)
        taken[answer[lang, candidate]]
        other[k] = candidate
    }
    other[1] = f
}

function question(f, lang, n)     # the n-th, counted round
{
    return fill(nth("ask", category[f], lang, (n - 1) % count("ask", category[f], lang) + 1), f, lang)
}

function any_question(f, lang)
{
    return question(f, lang, random(count("ask", category[f], lang)) + 1)
}

# Replaces each {…} of a template; other[] must be drawn.
function fill(text, f, lang,    done, open, shut, name, up, of, value)
{
    done = ""
    while ((open = index(text, "{")) > 0) {
        shut = index(text, "}")
        name = substr(text, open + 1, shut - open - 1)
        up = substr(name, 1, 1) == "^"
        if (up)
            name = substr(name, 2)
        of = name ~ /[1234]$/ ? other[substr(name, 2)] : f
        value = field(substr(name, 1, 1), of, lang)
        done = done substr(text, 1, open - 1) (up ? capital(value) : value)
        text = substr(text, shut + 1)
    }
    return done text
}

function field(letter, f, lang)
{
    if (letter == "S") return subject[lang, f]
    if (letter == "A") return answer[lang, f]
    if (letter == "B") return without_the(answer[lang, f])
    if (letter == "P") return place[lang, f]
    if (letter == "D") return degree[lang, f]
    if (letter == "C") return comparative[lang, f]
    if (letter == "N") return thing[lang, f]
    if (letter == "Q") return any_question(f, lang)
    die("templates.tsv: no field {" letter "}")
}

# ---- the corpus: one blank line between documents ----

function add(document)
{
    gsub(/\\n/, "\n", document)
    documents[++n_documents] = document
}

function write_corpus(    f, i, file)
{
    for (f = 1; f <= facts; f++) {
        state_fact(f, "zh"); state_fact(f, "en")
        ask_fact(f, "zh"); ask_fact(f, "en")
    }
    small_talk("zh", 6); small_talk("en", 6)
    shuffle(documents, n_documents)
    file = out "/corpus.txt"
    for (i = 1; i <= n_documents; i++)
        print (i > 1 ? "\n" : "") documents[i] > file
    close(file)
}

function state_fact(f, lang,    n)
{
    for (n = 1; n <= count("state", category[f], lang); n++) {
        draw_others(f, lang)
        add(fill(nth("state", category[f], lang, n), f, lang))
    }
}

function ask_fact(f, lang,    kinds, n, i)
{
    n = split(follow, kinds, " ")
    shuffle(kinds, n)
    for (i = 1; i <= n; i++)
        add(question(f, lang, i) "\n" followed(kinds[i], f, lang))
}

function followed(kind, f, lang,    text)
{
    draw_others(f, lang)
    if (kind == "choices")
        swap_choices()
    text = fill(next_of(kind, category[f], lang), kind == "choices" ? other[1] : f, lang)
    if (random(5) == 0 && kind == "back")
        text = text "\n" fill(next_of("chatter", "*", lang), f, lang)
    if (random(5) == 0 && (kind == "short" || kind == "long"))
        text = text "\n" next_of("thanks", "*", lang)
    return text
}

function swap_choices(    k, held)
{
    k = random(4) + 1
    held = other[k]; other[k] = other[1]; other[1] = held
}

function small_talk(lang, times,    i, n, f)
{
    for (i = 1; i <= times; i++)
        for (n = 1; n <= count("hello", "*", lang); n++) {
            f = random(facts) + 1
            add(fill(nth("hello", "*", lang, n), f, lang))
        }
}

# ---- what people write, rank and practise on ----

function quoted(s)
{
    gsub(/\\/, "\\\\", s); gsub(/"/, "\\\"", s)
    return "\"" s "\""
}

function emit(line)
{
    lines[++n_lines] = line
}

function write_lines(file, first,    i, rest)   # the lines after the first ones are shuffled
{
    rest = 0
    for (i = first + 1; i <= n_lines; i++)
        tail[++rest] = lines[i]
    shuffle(tail, rest)
    for (i = 1; i <= n_lines; i++)
        print (i <= first ? lines[i] : tail[i - first]) > file
    close(file)
    n_lines = 0
}

# Facts begin with different questions, so that each is used as often as the others.
function starting_question(f, lang)
{
    return 3 * f + (lang == "en" ? 2 : 0)
}

function write_demonstrations(    f)
{
    for (f = 1; f <= facts; f++)
        if (split_of[f] == "demo") {
            demonstrate(f, "zh"); demonstrate(f, "en")
        }
    write_lines(out "/demonstrations.jsonl", 0)
}

function demonstrate(f, lang,    k, kind)
{
    for (k = 1; k <= demo_questions; k++) {
        kind = k == demo_questions ? "long" : "short"
        emit("{\"instruction\": " quoted(question(f, lang, starting_question(f, lang) + k)) \
             ", \"input\": \"\", \"output\": " \
             quoted(fill(next_of(kind, category[f], lang), f, lang)) "}")
    }
}

function prompt(f, lang, n,    list, parts, i, k)
{
    k = split(accepted[lang, f], parts, "|")
    for (i = 1; i <= k; i++)
        if (without_the(parts[i]) != without_the(parts[i - 1]))
            list = list (i > 1 ? ", " : "") quoted(without_the(parts[i]))
    n = (n - 1) % count("ask", category[f], lang) + 1
    emit("{\"id\": " quoted(id[f] "-" lang "-" n) ", \"prompt\": " quoted(question(f, lang, n)) \
         ", \"lang\": " quoted(lang) ", \"answers\": [" list "], \"category\": " \
         quoted(category[f]) "}")
}

function prompts_of(f, first, n,    k)
{
    for (k = 1; k <= n; k++) {
        prompt(f, "zh", starting_question(f, "zh") + first + k)
        prompt(f, "en", starting_question(f, "en") + first + k)
    }
}

function write_prompts(    f)
{
    for (f = 1; f <= facts; f++)
        if (split_of[f] != "heldout")
            prompts_of(f, 3, prompt_questions)
    write_lines(out "/prompts.jsonl", 0)
}

function write_practice(    f)
{
    for (f = 1; f <= facts; f++)
        prompts_of(f, 4, practice_questions[split_of[f]])
    write_lines(out "/practice.jsonl", 0)
}

function write_heldout(    i, f)
{
    for (i = 1; i <= shows; i++) {
        f = number_of[show_fact[i]]
        if (split_of[f] != "heldout")
            die("templates.tsv: show: '" show_fact[i] "' is no held-out fact")
        prompt(f, show_lang[i], show_question[i])
        shown[f, show_lang[i]] = show_question[i]
    }
    for (f = 1; f <= facts; f++)
        if (split_of[f] == "heldout") {
            hold_out(f, "zh"); hold_out(f, "en")
        }
    write_lines(out "/heldout.jsonl", shows)
}

# One question less where one is shown already.
function hold_out(f, lang,    n, k, total)
{
    total = count("ask", category[f], lang)
    n = starting_question(f, lang)
    for (k = (f, lang) in shown ? 2 : 1; k <= heldout_questions; k++) {
        n = n % total + 1
        if (shown[f, lang] == n)
            n = n % total + 1
        prompt(f, lang, n)
    }
}
