/* Times come from event documents: what parses must format to the same moment again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "shared/clock.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char text[128], formatted[CLOCK_TEXT];
    int64_t first, again;
    size_t length = size < sizeof text - 1 ? size : sizeof text - 1;
    memcpy(text, data, length);
    text[length] = '\0';
    if (clock_parse(text, &first))
        return 0;
    if (first < -62167219200000 || first > 253402300799999) /* an offset led out of years 0-9999 */
        return 0;
    if (clock_parse(clock_format(first, formatted), &again) || first != again)
        abort();
    return 0;
}
