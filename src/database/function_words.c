#include "database/function_words.h"

#include <string.h>

bool is_function_word(const char *word, size_t length)
{
    static const char words[] =
        " a about after all also am an and any are as at be because been before being but by can "
        "could did do does for from had has have he her here him his how i if in into is it its "
        "just me might more most my no not of on or our out over shall she should so some such "
        "than that the their them then there these they this those to up us very was we were what "
        "when where which while who whom whose why will with would you your ";
    char key[16];
    if (length == 0 || length + 3 > sizeof key)
        return false;
    key[0] = ' ';
    for (size_t i = 0; i < length; i++)
        key[i + 1] = (char)(word[i] >= 'A' && word[i] <= 'Z' ? word[i] + 32 : word[i]);
    key[length + 1] = ' ';
    key[length + 2] = '\0';
    return strstr(words, key) != NULL;
}
