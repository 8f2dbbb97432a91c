#include "adapters/aws/rds_authorities.h"

#include <stdio.h>
#include <string.h>

#include "shared/buffer.h"
#include "shared/caps.h"
#include "shared/error.h"
#include "shared/file.h"
#include "shared/packed.h"

enum { NAME_TEXT = 96, REGION_TEXT = 32 };

bool rds_authorities_file(char *out, size_t capacity)
{
    return packed_path("share/rds-ca.pem", out, capacity) ||
           packed_path("../share/aegis/rds-ca.pem", out, capacity);
}

/* The line before the certificate that `host` needs; false: it is none of RDS's. */
static bool name_needed(const char *host, char out[NAME_TEXT])
{
    static const char suffix[] = ".rds.amazonaws.com";
    size_t length = strlen(host), tail = sizeof suffix - 1;
    if (length <= tail || strcasecmp(host + length - tail, suffix) != 0)
        return false;
    const char *end = host + length - tail, *region = memrchr(host, '.', (size_t)(end - host));
    if (!region || end - region > REGION_TEXT)
        return false;
    if (strstr(host, ".proxy-"))
        snprintf(out, NAME_TEXT, "# Amazon Root CA 1\n");
    else
        snprintf(out, NAME_TEXT, "# Amazon RDS %.*s Root CA RSA2048 G1\n", (int)(end - region - 1),
                 region + 1);
    return true;
}

bool rds_authorities_cover(const char *file, const char *host)
{
    char name[NAME_TEXT];
    struct buffer text;
    if (!name_needed(host, name))
        return false;
    struct error before = *error_last();
    buffer_init(&text, CAP_RDS_AUTHORITIES);
    bool found = !file_read(file, &text) && strcasestr(buffer_string(&text), name);
    buffer_free(&text);
    error_restore(&before);
    return found;
}
