/*
 * ini_lines.h - INI files by libinih, whose settings are variables of the process.
 */
#ifndef AEGIS_SHARED_INI_LINES_H
#define AEGIS_SHARED_INI_LINES_H

#include <ini.h>

/* ini_parse_stream with lines of any length up to CAP_CONFIG_FILE. Thread-safe. */
int ini_lines_parse(ini_reader reader, void *stream, ini_handler handler, void *user);

#endif
