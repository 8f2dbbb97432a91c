/* charset.h - names of character encodings. */
#ifndef AEGIS_MEDIA_CHARSET_H
#define AEGIS_MEDIA_CHARSET_H

#include <stddef.h>

/* The encodings that text may be in, as iconv(3) calls them: an index into this list stands for
 * each. */
enum { CHARSET_UTF8 = -1, CHARSET_UNKNOWN = -2 };
size_t charset_count(void);
const char *charset_name(int charset);  /* for iconv_open */
const char *charset_label(int charset); /* in lower case, for people */
size_t charset_unit(int charset);       /* bytes of the smallest unit: 1, 2 or 4 */

/* By a label from a document or a detector, as the WHATWG Encoding Standard (section 4.2) reads
 * labels: "latin1" is windows-1252, "gb2312" is GB 18030. CHARSET_UTF8, an index, or
 * CHARSET_UNKNOWN. */
int charset_find(const char *label, size_t length);

#endif
