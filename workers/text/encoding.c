#include "workers/text/encoding.h"

#include <iconv.h>
#include <string.h>

#include "proto/utf8.h"

static const struct row {
    const char *name, *iconv;
} rows[] = {
    [READING__ENCODING__DETECT] = { "detected", NULL },
    [READING__ENCODING__UTF8] = { "UTF-8", NULL },
    [READING__ENCODING__GBK] = { "GBK", "GB18030" }, /* which holds it, and the euro sign */
    [READING__ENCODING__GB18030] = { "GB 18030", "GB18030" },
    [READING__ENCODING__BIG5] = { "Big5", "BIG5-HKSCS" },
    [READING__ENCODING__SHIFT_JIS] = { "Shift-JIS", "CP932" },
    [READING__ENCODING__EUC_JP] = { "EUC-JP", "EUC-JP" },
    [READING__ENCODING__EUC_KR] = { "EUC-KR", "CP949" },
    [READING__ENCODING__UTF16LE] = { "UTF-16 (little-endian)", "UTF-16LE" },
    [READING__ENCODING__UTF16BE] = { "UTF-16 (big-endian)", "UTF-16BE" },
    [READING__ENCODING__LATIN1] = { "Latin-1", "ISO-8859-1" },
    [READING__ENCODING__WINDOWS1252] = { "Windows-1252", "CP1252" },
};
#define ROWS (sizeof rows / sizeof *rows)

const char *encoding_iconv_name(Reading__Encoding encoding)
{
    return (size_t)encoding < ROWS ? rows[encoding].iconv : NULL;
}

const char *encoding_name(Reading__Encoding encoding)
{
    return (size_t)encoding < ROWS && rows[encoding].name ? rows[encoding].name : "unknown";
}

Reading__Encoding encoding_of_mark(struct span start, size_t *n)
{
    static const struct mark {
        const char *bytes;
        size_t n;
        Reading__Encoding encoding;
    } marks[] = {
        { "\xef\xbb\xbf", 3, READING__ENCODING__UTF8 },
        { "\xff\xfe\0\0", 4, READING__ENCODING__DETECT }, /* UTF-32's, which is refused */
        { "\xff\xfe", 2, READING__ENCODING__UTF16LE },
        { "\xfe\xff", 2, READING__ENCODING__UTF16BE },
    };

    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        bool found = start.n >= marks[i].n && memcmp(start.p, marks[i].bytes, marks[i].n) == 0;
        *n = found && marks[i].encoding != READING__ENCODING__DETECT ? marks[i].n : 0;
        if (found)
            return marks[i].encoding;
    }
    return READING__ENCODING__DETECT;
}

#define LEAST 4                    /* characters beyond ASCII: fewer prove nothing */
#define TALLIED ((size_t)64 << 10) /* bytes of the sample that candidates are tried on */

/* ---- what people write often, for each encoding that is guessed at ---- */

/* The marks of Chinese and Japanese prose, and of typeset English. */
#define MARKS "，。、；：？！“”‘’（）《》「」『』…—·　．～【】"

static const char simplified[] =
    MARKS "的一是不了在人有我他这个们中来上大为和国地到以说时要就出会可也你对生能而子那得于"
          "着下自之年过发后作里用道行所然家种事成方多经么去法学如都同现当没动面起看定天分还"
          "进好小部其些主样理心她本前开但因只从想实日军者意无力它与长把机十民第公此已工使情"
          "明性知全三又关点正业外将两高间由问很最重并物手应战向头文体政美相见被利什二等产或"
          "新己制身果加西斯月话合回特代内信表化老给世位次度门任常先海通教儿原东声提立及比员"
          "解水名真论处走义各入几口认条平系气题活尔更别打女变四神总何电数安少报才结反受目太"
          "量再感建务做接必场件计管期市直德资命山金指克许统区保至队形社便空决治展马科司五基"
          "眼书非则听白却界达光放强即像难且权思王象完设式色路记南品住告类求据程北边死张该交"
          "规万取拉格望觉术领共确传师观清今切院让识候带导争运病医药血症治疗患您吗吧";

static const char traditional[] =
    MARKS "的一是不了在人有我他這個們中來上大為和國地到以說時要就出會可也你對生能而子那得於"
          "著下自之年過發後作里用道行所然家種事成方多經麼去法學如都同現當沒動面起看定天分還"
          "進好小部其些主樣理心她本前開但因只從想實日軍者意無力它與長把機十民第公此已工使情"
          "明性知全三又關點正業外將兩高間由問很最重並物手應戰向頭文體政美相見被利什二等產或"
          "新己制身果加西斯月話合回特代內信表化老給世位次度門任常先海通教兒原東聲提立及比員"
          "解水名真論處走義各入幾口認條平系氣題活爾更別打女變四神總何電數安少報才結反受目太"
          "量再感建務做接必場件計管期市直德資命山金指克許統區保至隊形社便空決治展馬科司五基"
          "眼書非則聽白卻界達光放強即像難且權思王象完設式色路記南品住告類求據程北邊死張該交"
          "規萬取拉格望覺術領共確傳師觀清今切院讓識候帶導爭運您嗎吧";

static const char japanese[] =
    MARKS "ぁあぃいぅうぇえぉおかがきぎくぐけげこごさざしじすずせぜそぞただちぢっつづてでとど"
          "なにぬねのはばぱひびぴふぶぷへべぺほぼぽまみむめもゃやゅゆょよらりるれろわをんァアィイ"
          "ウェエォオカガキギクグケゲコゴサザシジスズセゼソゾタダチッツテデトドナニネノハバパヒビ"
          "ピフブプヘベペホボポマミムメモャヤュユョヨラリルレロワンー日本人年大一国中出会事的";

static const struct candidate {
    Reading__Encoding encoding;
    double least; /* share of what is no ASCII that must be in `often` */
    double most;  /* share of what is no ASCII in the text: Cyrillic is nearly all, French little */
    const char *often[3];
} candidates[] = {
    { READING__ENCODING__GBK, 0.3, 1, { simplified } },
    { READING__ENCODING__BIG5, 0.3, 1, { traditional } },
    { READING__ENCODING__SHIFT_JIS, 0.4, 1, { japanese } },
    { READING__ENCODING__WINDOWS1252, 0.95, 0.2,
        { "éèêëàâäáãåæçîïíìñôöóòõøœùûüúÿßÉÈÊËÀÂÄÁÃÅÆÇÎÏÍÌÑÔÖÓÒÕØŒÙÛÜÚ«»“”‘’…–—€£§°•¿¡\u00a0·™©"
          "®" } },
};

static bool often(const struct candidate *c, const char *p, size_t n)
{
    char character[8] = "";

    memcpy(character, p, n < sizeof character ? n : 0);
    for (size_t i = 0; i < sizeof c->often / sizeof *c->often; i++)
        if (c->often[i] && strstr(c->often[i], character))
            return true;
    return false;
}

/* Of the sample in the candidate's encoding: characters beyond ASCII, how many of them people write
 * often, and bytes that are no characters. */
struct tally {
    size_t beyond, often, broken;
};

static void tally_text(struct tally *t, const struct candidate *c, const char *p, size_t n)
{
    uint32_t code;

    for (size_t i = 0, length; i < n; i += length) {
        length = utf8_decode(&code, p + i, n - i);
        if (length > 1) {
            t->beyond++;
            t->often += often(c, p + i, length);
        }
        length += length == 0;
    }
}

static struct tally tally_of(const struct candidate *c, struct span s)
{
    struct tally t = { 0 };
    char text[4096], *in = (char *)(uintptr_t)s.p;
    size_t left = s.n;
    iconv_t convert = iconv_open("UTF-8", encoding_iconv_name(c->encoding));

    while (convert != (iconv_t)-1 && left > 0) {
        char *out = text;
        size_t room = sizeof text, before = left;
        size_t rc = iconv(convert, &in, &left, &out, &room);
        tally_text(&t, c, text, (size_t)(out - text));
        if (rc == (size_t)-1 && room > 8 && left > 0) { /* no character, or the sample's end */
            t.broken += left > 4;
            in++;
            left--;
        } else if (left == before) {
            break;
        }
    }
    if (convert != (iconv_t)-1)
        iconv_close(convert);
    else
        t.broken = s.n;
    return t;
}

static bool safe(const struct candidate *c, const struct tally *t, size_t bytes)
{
    return t->beyond >= LEAST && t->broken * 100 <= t->beyond &&
           (double)t->often >= c->least * (double)t->beyond &&
           (double)t->beyond <= c->most * (double)bytes;
}

/* A candidate is safe when hardly a byte is broken in it and enough is what people write often. */
static const struct candidate *best_candidate(struct span s)
{
    const struct candidate *best = NULL;
    double best_share = 0;
    const uint8_t *p = s.p;
    size_t bytes = s.n < TALLIED ? s.n : TALLIED;

    /* What is ASCII tells nothing, and behind it begins a character. */
    for (; s.n > 0 && *p < 0x80; p++)
        s.n--;
    s = (struct span){ p, s.n < TALLIED ? s.n : TALLIED };
    for (size_t i = 0; i < sizeof candidates / sizeof *candidates; i++) {
        struct tally t = tally_of(&candidates[i], s);
        double share = t.beyond > 0 ? (double)t.often / (double)t.beyond : 0;
        if (safe(&candidates[i], &t, bytes) && share > best_share) {
            best = &candidates[i];
            best_share = share;
        }
    }
    return best;
}

/* ---- UTF-8, UTF-16, and what is no text ---- */

static const struct format {
    const char *bytes;
    size_t n;
    const char *what;
} formats[] = {
    { "PK\x03\x04", 4, "a zip archive: unpack it" },
    { "%PDF", 4, "a PDF file: give its text" },
    { "7z\xbc\xaf", 4, "a 7z archive: unpack it" },
    { "\xfd\x37zXZ", 5, "packed with xz: unpack it" },
    { "BZh", 3, "packed with bzip2: unpack it" },
    { "GGUF", 4, "a GGUF model, not text" },
    { "PAR1", 4, "a Parquet table: give JSON Lines or CSV" },
    { "version https://git-lfs.github.com/", 35,
        "a pointer of Git LFS: get the file itself (`git lfs pull`)" },
    { "\xff\xfe\0\0", 4, "UTF-32: convert it to UTF-8" },
    { "\0\0\xfe\xff", 4, "UTF-32: convert it to UTF-8" },
};

/* *first: the first byte that is no UTF-8. */
static bool mostly_utf8(struct span s, size_t *first)
{
    const char *p = s.p;
    size_t n = utf8_whole(p, s.n), beyond = 0, broken = 0; /* the last may be cut */
    uint32_t code;

    for (size_t i = 0, length; i < n; i += length) {
        length = (uint8_t)p[i] < 0x80 ? 1 : utf8_decode(&code, p + i, n - i);
        beyond += length > 1;
        if (length == 0 && broken++ == 0)
            *first = i;
        length += length == 0;
    }
    return broken == 0 || broken * 10 <= beyond;
}

/* Latin letters and line ends in UTF-16 have a zero on one side, always the same. */
static Reading__Encoding utf16_by_zeros(struct span s)
{
    const uint8_t *p = s.p;
    size_t zeros[2] = { 0 };

    for (size_t i = 0; i < s.n; i++)
        zeros[i % 2] += p[i] == 0;
    if (zeros[1] > s.n / 4 && zeros[0] * 50 < zeros[1])
        return READING__ENCODING__UTF16LE;
    if (zeros[0] > s.n / 4 && zeros[1] * 50 < zeros[0])
        return READING__ENCODING__UTF16BE;
    return READING__ENCODING__DETECT;
}

/* UTF-16 without a mark whose letters lie beyond Latin: as sure as the other guesses. */
static Reading__Encoding utf16_by_letters(struct span s)
{
    static const struct candidate orders[] = {
        { READING__ENCODING__UTF16LE, 0.3, 1, { simplified, traditional, japanese } },
        { READING__ENCODING__UTF16BE, 0.3, 1, { simplified, traditional, japanese } },
    };

    s.n = s.n < TALLIED ? s.n : TALLIED;
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        struct tally t = tally_of(&orders[i], s);
        if (safe(&orders[i], &t, s.n))
            return orders[i].encoding;
    }
    return READING__ENCODING__DETECT;
}

static int cannot_tell(struct span start, size_t at, struct err *e)
{
    const char *p = start.p;
    size_t line = 1;

    for (size_t i = 0; i < at; i++)
        line += p[i] == '\n';
    return err_set(e, E_INPUT,
        "not UTF-8 at byte %zu (0x%02x, line %zu), and its encoding cannot be told safely: declare "
        "it, e.g. `encoding: gbk` (also gb18030, big5, shift_jis, euc_jp, euc_kr, utf16le, "
        "utf16be, latin1, windows1252; utf8 where only some records are broken)",
        at, (uint8_t)p[at], line);
}

int encoding_detect(Reading__Encoding *out, struct span start, struct err *e)
{
    const struct candidate *c;
    size_t at = 0;

    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (start.n >= formats[i].n && memcmp(start.p, formats[i].bytes, formats[i].n) == 0)
            return err_set(e, E_INPUT, "it is %s", formats[i].what);
    *out = utf16_by_zeros(start);
    if (*out != READING__ENCODING__DETECT)
        return OK;
    *out = READING__ENCODING__UTF8;
    if (mostly_utf8(start, &at))
        return OK;
    *out = utf16_by_letters(start);
    if (*out != READING__ENCODING__DETECT)
        return OK;
    if (memchr(start.p, 0, start.n))
        return err_set(e, E_INPUT,
            "it is a binary file: give a text file (or, were it UTF-16 without a byte-order mark, "
            "`encoding: utf16le` or utf16be)");
    c = best_candidate(start);
    if (!c)
        return cannot_tell(start, at, e);
    *out = c->encoding;
    return OK;
}
