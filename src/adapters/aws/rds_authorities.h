/*
 * rds_authorities.h - who signs the certificates of Amazon RDS
 * (https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/UsingWithRDS.SSL.html): authorities of
 * its own, three for each region, and for RDS Proxy those of Amazon. They are in a file that comes
 * with the program (third_party/rds-ca), each behind a line "# NAME".
 */
#ifndef AEGIS_ADAPTERS_AWS_RDS_AUTHORITIES_H
#define AEGIS_ADAPTERS_AWS_RDS_AUTHORITIES_H

#include <stdbool.h>
#include <stddef.h>

/* Where the file is that came with this program: beside it (packed.h), or in share/aegis of where
 * it is installed. False: nowhere. */
bool rds_authorities_file(char *out, size_t capacity);

/* True if `host` is a name that RDS gives, "NAME.ID.REGION.rds.amazonaws.com", and the file has who
 * signs for its region. False for other hosts, for regions that are newer than the file, and where
 * the file cannot be read. Reads the file. */
bool rds_authorities_cover(const char *file, const char *host);

#endif
