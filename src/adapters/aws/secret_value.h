/*
 * secret_value.h - what is in a secret: a key, or how to reach a database.
 *
 * Functions over the secret's text, which read nothing else but the file of RDS's authorities. No
 * text of a secret is repeated in an error.
 */
#ifndef AEGIS_ADAPTERS_AWS_SECRET_VALUE_H
#define AEGIS_ADAPTERS_AWS_SECRET_VALUE_H

#include <stddef.h>

/*
 * The key alone, blanks around it left off, or a JSON object with it in openai_api_key, api_key,
 * key or OPENAI_API_KEY (the first that is there). ERR_INVALID (none of them, an empty one, control
 * characters), ERR_TOO_LARGE, ERR_NO_MEMORY. `out` may then hold a part of it.
 */
int secret_key_read(const char *text, size_t length, char *out, size_t capacity);

/* What a database's secret leaves open. */
struct secret_database {
    const char *host; /* goes before the secret's: "host", "host:port"; NULL or "": the secret's */
    const char *name; /* of the database, likewise */
    /* Of libpq. NULL, "" or "auto": "verify-full" where it is known who signs for the host, else
     * "require", none on the loopback. */
    const char *sslmode;
    const char *authorities; /* file of who signs for any host; NULL or "": not known */
    const char *rds;         /* file of who signs for RDS (rds_authorities.h); NULL or "": none */
};

/*
 * A postgresql:// URL from a secret in the format of RDS
 * (https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_secret_json_structure.html):
 * {"engine", "host", "username", "password", "dbname", "port"}, of which RDS's own secrets hold
 * user and password alone. A secret that is such a URL itself is taken as it is, sslmode too.
 * Errors as of secret_key_read; ERR_INVALID also says which part is missing, and where to set it.
 */
int secret_url_read(const char *text, size_t length, const struct secret_database *database,
                    char *out, size_t capacity);

#endif
