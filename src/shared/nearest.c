#include "shared/nearest.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { NAME_CAP = 64 };

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static bool same(char a, char b)
{
    return tolower((unsigned char)a) == tolower((unsigned char)b);
}

size_t nearest_distance(const char *a, const char *b)
{
    size_t m = strlen(a), n = strlen(b);
    if (m >= NAME_CAP || n >= NAME_CAP)
        return SIZE_MAX;
    /* Three rows of the matrix are enough: a swap looks two rows back. */
    size_t rows[3][NAME_CAP];
    for (size_t j = 0; j <= n; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= m; i++) {
        size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *before = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t change = above[j - 1] + !same(a[i - 1], b[j - 1]);
            row[j] = least(change, 1 + least(above[j], row[j - 1]));
            bool swapped = i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]);
            if (swapped)
                row[j] = least(row[j], before[j - 2] + 1);
        }
    }
    return rows[m % 3][n];
}

/* A slip touches at most a third of the longer word, and never all of a short one. */
static size_t tolerance(const char *typed, const char *name)
{
    size_t m = strlen(typed), n = strlen(name), longer = m > n ? m : n;
    return longer < 3 ? 0 : longer / 3;
}

void nearest_offer(struct nearest *n, const char *name)
{
    size_t distance = nearest_distance(n->typed, name);
    if (distance > tolerance(n->typed, name) || (n->best && distance >= n->distance))
        return;
    n->best = name;
    n->distance = distance;
}
