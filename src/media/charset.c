/* charset.c - see charset.h. */
#include "media/charset.h"

#include <string.h>
#include <strings.h>

/* `labels`: those of the standard that are met in documents, and what uchardet says; between
 * spaces. */
static const struct {
    const char *iconv, *label, *labels;
    size_t unit;
} charsets[] = {
    {"UTF-16LE", "utf-16le", " utf-16le utf-16 unicode ucs-2 iso-10646-ucs-2 ", 2},
    {"UTF-16BE", "utf-16be", " utf-16be unicodefffe ", 2},
    {"UTF-32LE", "utf-32le", " utf-32le utf-32 ", 4},
    {"UTF-32BE", "utf-32be", " utf-32be ", 4},
    {"CP1252", "windows-1252",
     " windows-1252 cp1252 x-cp1252 iso-8859-1 iso8859-1 iso_8859-1 latin1 l1 ascii us-ascii "
     "ansi_x3.4-1968 cp819 ibm819 iso88591 ",
     1},
    {"CP1250", "windows-1250", " windows-1250 cp1250 x-cp1250 ", 1},
    {"CP1251", "windows-1251", " windows-1251 cp1251 x-cp1251 ", 1},
    {"CP1253", "windows-1253", " windows-1253 cp1253 x-cp1253 ", 1},
    {"CP1254", "windows-1254",
     " windows-1254 cp1254 x-cp1254 iso-8859-9 iso8859-9 iso_8859-9 latin5 l5 ", 1},
    {"CP1255", "windows-1255", " windows-1255 cp1255 x-cp1255 ", 1},
    {"CP1256", "windows-1256", " windows-1256 cp1256 x-cp1256 ", 1},
    {"CP1257", "windows-1257", " windows-1257 cp1257 x-cp1257 ", 1},
    {"CP1258", "windows-1258", " windows-1258 cp1258 x-cp1258 ", 1},
    {"ISO-8859-2", "iso-8859-2", " iso-8859-2 iso8859-2 iso_8859-2 latin2 l2 ", 1},
    {"ISO-8859-3", "iso-8859-3", " iso-8859-3 iso8859-3 iso_8859-3 latin3 l3 ", 1},
    {"ISO-8859-4", "iso-8859-4", " iso-8859-4 iso8859-4 iso_8859-4 latin4 l4 ", 1},
    {"ISO-8859-5", "iso-8859-5", " iso-8859-5 iso8859-5 iso_8859-5 cyrillic ", 1},
    {"ISO-8859-6", "iso-8859-6", " iso-8859-6 iso8859-6 iso_8859-6 arabic asmo-708 ", 1},
    {"ISO-8859-7", "iso-8859-7", " iso-8859-7 iso8859-7 iso_8859-7 greek greek8 sun_eu_greek ", 1},
    {"ISO-8859-8", "iso-8859-8",
     " iso-8859-8 iso8859-8 iso_8859-8 iso-8859-8-i iso-8859-8-e hebrew visual logical ", 1},
    {"ISO-8859-10", "iso-8859-10", " iso-8859-10 iso8859-10 latin6 l6 ", 1},
    {"ISO-8859-13", "iso-8859-13", " iso-8859-13 iso8859-13 ", 1},
    {"ISO-8859-14", "iso-8859-14", " iso-8859-14 iso8859-14 ", 1},
    {"ISO-8859-15", "iso-8859-15", " iso-8859-15 iso8859-15 iso_8859-15 latin9 l9 ", 1},
    {"ISO-8859-16", "iso-8859-16", " iso-8859-16 ", 1},
    {"KOI8-R", "koi8-r", " koi8-r koi8_r koi8 koi ", 1},
    {"KOI8-U", "koi8-u", " koi8-u koi8-ru ", 1},
    {"IBM866", "ibm866", " ibm866 cp866 866 ", 1},
    {"IBM852", "ibm852", " ibm852 cp852 ", 1},
    {"IBM855", "ibm855", " ibm855 cp855 ", 1},
    {"IBM862", "ibm862", " ibm862 cp862 ", 1},
    {"IBM865", "ibm865", " ibm865 cp865 ", 1},
    {"MACINTOSH", "macintosh", " macintosh mac x-mac-roman ", 1},
    {"MAC-CYRILLIC", "x-mac-cyrillic", " x-mac-cyrillic mac-cyrillic x-mac-ukrainian ", 1},
    {"MAC-CENTRALEUROPE", "x-mac-ce", " x-mac-ce mac-centraleurope ", 1},
    {"CP874", "windows-874", " windows-874 tis-620 iso-8859-11 iso8859-11 dos-874 cp874 ", 1},
    {"VISCII", "viscii", " viscii ", 1},
    {"GEORGIAN-PS", "georgian-ps", " georgian-ps ", 1},
    {"GEORGIAN-ACADEMY", "georgian-academy", " georgian-academy ", 1},
    {"GB18030", "gb18030",
     " gb18030 gbk x-gbk gb2312 gb_2312 gb_2312-80 chinese csgb2312 iso-ir-58 euc-cn ", 1},
    {"BIG5-HKSCS", "big5", " big5 big5-hkscs cn-big5 csbig5 x-x-big5 ", 1},
    {"EUC-TW", "euc-tw", " euc-tw x-euc-tw ", 1},
    {"EUC-JP", "euc-jp", " euc-jp x-euc-jp cseucpkdfmtjapanese ", 1},
    {"ISO-2022-JP", "iso-2022-jp", " iso-2022-jp csiso2022jp ", 1},
    {"CP932", "shift_jis",
     " shift_jis shift-jis sjis x-sjis ms_kanji windows-31j csshiftjis ms932 cp932 ", 1},
    {"UHC", "euc-kr",
     " euc-kr cseuckr ks_c_5601-1987 ks_c_5601-1989 ksc5601 ksc_5601 korean windows-949 uhc cp949 ",
     1},
    {"JOHAB", "johab", " johab ", 1},
    {"ISO-2022-KR", "iso-2022-kr", " iso-2022-kr ", 1},
    {"ISO-2022-CN", "iso-2022-cn", " iso-2022-cn ", 1},
};
enum { CHARSETS = sizeof charsets / sizeof charsets[0] };

size_t charset_count(void)
{
    return CHARSETS;
}

const char *charset_name(int charset)
{
    return charset < 0 ? "UTF-8" : charsets[charset].iconv;
}

const char *charset_label(int charset)
{
    return charset < 0 ? "utf-8" : charsets[charset].label;
}

size_t charset_unit(int charset)
{
    return charset < 0 ? 1 : charsets[charset].unit;
}

/* The label with its spaces around it, in lower case; "" if it is none. */
static void normalise(const char *label, size_t length, char out[48])
{
    size_t n = 0;
    out[n++] = ' ';
    for (size_t i = 0; i < length && n < 45; i++) {
        char c = label[i];
        if (c == ' ' || c == '\t' || c == '\n' || c == '\r')
            continue;
        out[n++] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    out[n++] = ' ';
    out[n] = '\0';
    if (n == 2)
        out[0] = '\0';
}

int charset_find(const char *label, size_t length)
{
    char wanted[48];
    normalise(label, length, wanted);
    if (!*wanted)
        return CHARSET_UNKNOWN;
    if (strstr(" utf-8 utf8 unicode-1-1-utf-8 x-unicode20utf8 ", wanted))
        return CHARSET_UTF8;
    for (int i = 0; i < CHARSETS; i++)
        if (strstr(charsets[i].labels, wanted))
            return i;
    return CHARSET_UNKNOWN;
}
