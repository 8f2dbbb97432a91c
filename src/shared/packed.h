/*
 * packed.h - what came along with the program: where it does not use the system's own libraries and
 * data (the package for AWS Lambda, made by scripts/lambda-zip.sh), they are in folders beside it.
 *
 *   lib/                     shared libraries, and the loader that the kernel starts the program by
 *   lib/gconv/               converters of iconv
 *   bin/                     pdftotext, pdfinfo
 *   share/ca-bundle.crt      authorities that TLS trusts
 *   share/rds-ca.pem         authorities of Amazon RDS
 *   share/libexttextcat/     fingerprints of languages
 */
#ifndef AEGIS_SHARED_PACKED_H
#define AEGIS_SHARED_PACKED_H

#include <stdbool.h>
#include <stddef.h>

/* The path of `name` beside the program; false if it is not there or does not fit. */
bool packed_path(const char *name, char *out, size_t capacity);

/* Makes libraries use what came along, through the environment: PATH (bin/ comes first),
 * SSL_CERT_FILE and GCONV_PATH (unless set). Nothing changes where nothing is. Call first in
 * main(), before there are threads; children call it too. */
void packed_settle(void);

#endif
