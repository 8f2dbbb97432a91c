#include "shared/ini_lines.h"

#include <pthread.h>
#include <stdbool.h>

#include "shared/caps.h"

/* Debian's libinih reads these at each call. */
static void settle(void)
{
    ini_use_stack = false;
    ini_allow_realloc = true;
    ini_max_line = (int)CAP_CONFIG_FILE + 3;
}

int ini_lines_parse(ini_reader reader, void *stream, ini_handler handler, void *user)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, settle);
    return ini_parse_stream(reader, stream, handler, user);
}
