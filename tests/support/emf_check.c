#include "support/emf_check.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "yyjson.h"

enum {
    METRICS = 100,
    DIMENSIONS = 30,
    NAME = 1024,
    DIMENSION_NAME = 250,
    DIMENSION_VALUE = 1024,
    LINE = 256 * 1024, /* the smaller of what CloudWatch Logs has ever taken as one event */
};

static void expect(bool holds, const char *what, const char *line)
{
    if (!holds)
        fail_msg("%s: %s", what, line);
}

static void check_name(yyjson_val *v, size_t longest, const char *line)
{
    size_t length = yyjson_get_len(v);
    expect(yyjson_is_str(v) && length >= 1 && length <= longest, "a name", line);
}

/* Graphic ASCII: not blank, and no colon in front. */
static void check_dimension(yyjson_val *root, yyjson_val *name, const char *line)
{
    check_name(name, DIMENSION_NAME, line);
    yyjson_val *value = yyjson_obj_get(root, yyjson_get_str(name));
    check_name(value, DIMENSION_VALUE, line);
    const char *text = yyjson_get_str(value);
    expect(text[0] != ':' && strspn(text, " ") < strlen(text), "a dimension's value", line);
    for (const char *c = text; *c; c++)
        expect(*c >= ' ' && *c < 0x7f, "a dimension's value", line);
}

static void check_dimensions(yyjson_val *root, yyjson_val *sets, const char *line)
{
    size_t i, k, n, count;
    yyjson_val *set, *name;
    expect(yyjson_is_arr(sets) && yyjson_arr_size(sets) >= 1, "sets of dimensions", line);
    yyjson_arr_foreach(sets, i, n, set)
    {
        expect(yyjson_is_arr(set) && yyjson_arr_size(set) <= DIMENSIONS, "a set", line);
        yyjson_arr_foreach(set, k, count, name) check_dimension(root, name, line);
    }
}

static bool is_unit(const char *unit)
{
    static const char *const units[] = {"Seconds",
                                        "Microseconds",
                                        "Milliseconds",
                                        "Bytes",
                                        "Kilobytes",
                                        "Megabytes",
                                        "Gigabytes",
                                        "Terabytes",
                                        "Bits",
                                        "Kilobits",
                                        "Megabits",
                                        "Gigabits",
                                        "Terabits",
                                        "Percent",
                                        "Count",
                                        "Bytes/Second",
                                        "Kilobytes/Second",
                                        "Megabytes/Second",
                                        "Gigabytes/Second",
                                        "Terabytes/Second",
                                        "Bits/Second",
                                        "Kilobits/Second",
                                        "Megabits/Second",
                                        "Gigabits/Second",
                                        "Terabits/Second",
                                        "Count/Second",
                                        "None"};
    for (size_t i = 0; unit && i < sizeof units / sizeof units[0]; i++)
        if (!strcmp(units[i], unit))
            return true;
    return false;
}

static void check_metrics(yyjson_val *root, yyjson_val *metrics, const char *line)
{
    size_t i, n = yyjson_arr_size(metrics);
    yyjson_val *m;
    expect(yyjson_is_arr(metrics) && n >= 1 && n <= METRICS, "metrics", line);
    yyjson_arr_foreach(metrics, i, n, m)
    {
        yyjson_val *name = yyjson_obj_get(m, "Name");
        check_name(name, NAME, line);
        yyjson_val *value = yyjson_obj_get(root, yyjson_get_str(name));
        expect(yyjson_is_num(value) && isfinite(yyjson_get_num(value)), "a value", line);
        expect(is_unit(yyjson_get_str(yyjson_obj_get(m, "Unit"))), "a unit", line);
    }
}

/* A member more than once would be one thing for one reader and another for the next. */
static void check_members(yyjson_val *root, const char *line)
{
    size_t i, n;
    yyjson_val *key, *value;
    yyjson_obj_foreach(root, i, n, key, value)
    {
        expect(yyjson_obj_get(root, yyjson_get_str(key)) == value, "a member twice", line);
    }
}

static void check(yyjson_val *root, const char *line)
{
    yyjson_val *aws = yyjson_obj_get(root, "_aws"), *directive,
               *directives = yyjson_obj_get(aws, "CloudWatchMetrics");
    size_t i, n;
    expect(strlen(line) <= LINE, "its length", line);
    expect(yyjson_is_uint(yyjson_obj_get(aws, "Timestamp")), "the time", line);
    expect(yyjson_is_arr(directives) && yyjson_arr_size(directives) >= 1, "directives", line);
    check_members(root, line);
    yyjson_arr_foreach(directives, i, n, directive)
    {
        check_name(yyjson_obj_get(directive, "Namespace"), NAME, line);
        expect(strncmp(yyjson_get_str(yyjson_obj_get(directive, "Namespace")), "AWS/", 4) != 0,
               "a namespace", line);
        check_dimensions(root, yyjson_obj_get(directive, "Dimensions"), line);
        check_metrics(root, yyjson_obj_get(directive, "Metrics"), line);
    }
}

/* The next line that has metrics; NULL at the end. *text is freed by the caller. */
static yyjson_doc *next(const char **log, char **text)
{
    while (**log) {
        size_t length = strcspn(*log, "\n");
        *text = strndup(*log, length);
        *log += length + ((*log)[length] == '\n');
        yyjson_doc *doc = yyjson_read(*text, strlen(*text), 0);
        if (yyjson_obj_get(yyjson_doc_get_root(doc), "_aws"))
            return doc;
        yyjson_doc_free(doc);
        free(*text);
    }
    return NULL;
}

size_t emf_check(const char *log)
{
    size_t count = 0;
    char *text;
    for (yyjson_doc *doc; (doc = next(&log, &text)); count++) {
        check(yyjson_doc_get_root(doc), text);
        yyjson_doc_free(doc);
        free(text);
    }
    return count;
}

static bool has(yyjson_val *root, const char *name, const char *value)
{
    yyjson_val *found = yyjson_obj_get(root, name);
    return value ? yyjson_equals_str(found, value) : !found;
}

double emf_sum(const char *log, const char *operation, const char *model, const char *metric)
{
    double sum = 0;
    char *text;
    for (yyjson_doc *doc; (doc = next(&log, &text));) {
        yyjson_val *root = yyjson_doc_get_root(doc);
        if (has(root, "Operation", operation) && has(root, "Model", model))
            sum += yyjson_get_num(yyjson_obj_get(root, metric));
        yyjson_doc_free(doc);
        free(text);
    }
    return sum;
}
