#include "adapters/offline/actions.h"

#include <string.h>
#include <strings.h>

#include "adapters/offline/phrases.h"
#include "shared/error.h"
#include "shared/words.h"

enum { LONGEST_ITEM = 400 };

static const char *const markers[] = {
    "action item:", "action:",       "todo:",     "to do:",   "to-do:", "next step:", "follow-up:",
    "aufgabe:",     "zu erledigen:", "à faire :", "à faire:", "tarea:", "pendiente:", NULL};

static const char *const duties[] = {"will",      "must",    "shall",    "should",
                                     "has to",    "have to", "needs to", "need to",
                                     "agreed to", "is to",   NULL};

static const char *const deadlines[] = {"by",       "before",  "until", "today",
                                        "tomorrow", "tonight", NULL};

static bool starts_with(const struct text_slice *s, const char *prefix)
{
    size_t n = strlen(prefix);
    return s->length >= n && !strncasecmp(s->text, prefix, n);
}

static void advance(struct text_slice *s, size_t n)
{
    s->text += n;
    s->length -= n;
    while (s->length && (*s->text == ' ' || *s->text == '\t')) {
        s->text++;
        s->length--;
    }
}

static const char *one_of(const struct text_slice *s, const char *const *list)
{
    for (; *list; list++)
        if (starts_with(s, *list))
            return *list;
    return NULL;
}

/* Takes "- ", "* ", "1. " and emphasis off the front; *box: 1 an empty task box, 2 a ticked one. */
static void drop_marks(struct text_slice *s, int *box)
{
    *box = 0;
    while (s->length >= 2 && (*s->text == '-' || *s->text == '*' || *s->text == '+' ||
                              *s->text == '_' || *s->text == '>'))
        advance(s, 1);
    size_t digits = 0;
    while (digits < 3 && digits < s->length && s->text[digits] >= '0' && s->text[digits] <= '9')
        digits++;
    if (digits && digits + 1 < s->length && (s->text[digits] == '.' || s->text[digits] == ')') &&
        s->text[digits + 1] == ' ')
        advance(s, digits + 1);
    if (s->length > 3 && s->text[0] == '[' && s->text[2] == ']') {
        *box = s->text[1] == ' ' ? 1 : 2;
        advance(s, 3);
    }
}

static bool is_capital(const char *p)
{
    return (*p >= 'A' && *p <= 'Z') || ((unsigned char)p[0] == 0xc3 && !(p[1] & 0x20));
}

/* One to three capitalised words at the front: "Maria", "Ms. Ito". Returns their length, 0 if none.
 */
static size_t name_length(const struct text_slice *s)
{
    static const char *const not_names[] = {
        "The ",  "This ", "That ", "It ", "There ", "We ",  "I ",  "You ", "He ", "She ",
        "They ", "What ", "Who ",  "If ", "When ",  "All ", "In ", "A ",   NULL};
    size_t end = 0, at = 0;
    if (one_of(s, not_names))
        return 0;
    for (int words = 0; words < 3 && at + 1 < s->length && is_capital(s->text + at); words++) {
        while (at < s->length && !strchr(" ,:;!?\n\t", s->text[at]))
            at++;
        end = at;
        if (at == s->length || s->text[at] != ' ')
            break;
        at++;
    }
    return end;
}

/* "Maria will order ...", "Maria to order ...", "Maria: order ..." */
static size_t owner_length(const struct text_slice *s, bool marked)
{
    size_t n = name_length(s);
    if (n == 0 || n + 2 >= s->length)
        return 0;
    struct text_slice rest = {.text = s->text + n, .length = s->length - n};
    bool colon = *rest.text == ':';
    if (*rest.text != ' ' && !colon)
        return 0;
    advance(&rest, 1);
    if (marked && (colon || starts_with(&rest, "to ")))
        return n;
    const char *duty = one_of(&rest, duties);
    return duty && rest.length > strlen(duty) && rest.text[strlen(duty)] == ' ' ? n : 0;
}

static bool names_deadline(const struct text_slice *s)
{
    struct word_scan scan;
    struct text_slice word;
    word_scan_begin(&scan, s->text, s->length);
    while (word_next(&scan, &word))
        for (const char *const *d = deadlines; *d; d++)
            if (word.length == strlen(*d) && !strncasecmp(word.text, *d, word.length))
                return true;
    return false;
}

/* The part of a sentence that is an action item; false if it is none. */
static bool read_item(struct text_slice *s, size_t *owner)
{
    int box;
    drop_marks(s, &box);
    const char *marker = one_of(s, markers);
    if (marker)
        advance(s, strlen(marker));
    while (s->length && *s->text == '*') /* "**Action:** ..." */
        advance(s, 1);
    bool marked = marker || box == 1;
    *owner = owner_length(s, marked);
    if (box == 2 || s->length < 3 || s->length > LONGEST_ITEM)
        return false;
    return marked || (*owner && s->text[s->length - 1] != '?' && names_deadline(s));
}

int actions_find(const char *text, size_t length, size_t most, struct arena *arena,
                 struct action_item **out, size_t *count)
{
    struct sentence_scan scan;
    struct text_slice s;
    size_t owner;
    *count = 0;
    *out = arena_array(arena, most, sizeof **out);
    if (!*out)
        return ERR_NO_MEMORY;
    sentence_scan_begin(&scan, text, length);
    while (*count < most && sentence_next(&scan, &s)) {
        if (!read_item(&s, &owner))
            continue;
        struct action_item *item = &(*out)[(*count)++];
        item->text = phrase_text(arena, &s);
        item->owner = arena_strndup(arena, s.text, owner);
        if (!item->text || !item->owner)
            return ERR_NO_MEMORY;
    }
    return OK;
}
