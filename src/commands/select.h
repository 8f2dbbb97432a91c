/*
 * select.h - saying which media: by id or key, or by a filter.
 */
#ifndef AEGIS_COMMANDS_SELECT_H
#define AEGIS_COMMANDS_SELECT_H

#include "commands/app.h"

/* Rows for an options table. */
#define FILTER_OPTIONS                                                                             \
    {.name = "collection", .argument = "NAME", .help = "only media of this collection"},           \
        {.name = "kind",                                                                           \
         .argument = "KIND",                                                                       \
         .choices = "text|markdown|html|pdf|docx|srt|vtt|audio|video|empty",                       \
         .help = "only media of this kind"},                                                       \
        {.name = "language",                                                                       \
         .argument = "CODE",                                                                       \
         .help = "only media in this language (ISO 639-1)"},                                       \
        {.name = "prefix", .argument = "TEXT", .help = "only media whose key starts with this"},   \
        {.name = "since",                                                                          \
         .argument = "DATE",                                                                       \
         .help = "only media uploaded at this time or later"},                                     \
    {                                                                                              \
        .name = "until", .argument = "DATE", .help = "only media uploaded before this time"        \
    }

/* ERR_INVALID for a bad date. */
int select_filter(const struct app *app, struct media_filter *out);
bool filter_is_empty(const struct media_filter *filter);

/* `reference` is an id ("12"), a key of the default bucket, "s3://bucket/key", the path of a file
 * that was added, a key of any bucket, or the last part of one key. ERR_NOT_FOUND names it and says
 * how to look; ERR_INVALID if several keys end so. Opens the database. */
int select_media(struct app *app, const char *reference, struct media_row *out);

/* "12", all digits and positive: true and the number. */
bool parse_id(const char *text, int64_t *id);

#endif
