#include <string.h>
#include <strings.h>

#include "ingestion/files.h"

/* Names registered with IANA (https://www.iana.org/assignments/media-types), of what Aegis reads.
 */
static const struct {
    const char *extension, *type;
} types[] = {
    {"aac", "audio/aac"},
    {"csv", "text/csv"},
    {"docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
    {"flac", "audio/flac"},
    {"htm", "text/html"},
    {"html", "text/html"},
    {"json", "application/json"},
    {"log", "text/plain"},
    {"m4a", "audio/mp4"},
    {"markdown", "text/markdown"},
    {"md", "text/markdown"},
    {"mkv", "video/matroska"},
    {"mov", "video/quicktime"},
    {"mp3", "audio/mpeg"},
    {"mp4", "video/mp4"},
    {"oga", "audio/ogg"},
    {"ogg", "audio/ogg"},
    {"opus", "audio/ogg"},
    {"pdf", "application/pdf"},
    {"srt", "application/x-subrip"},
    {"text", "text/plain"},
    {"txt", "text/plain"},
    {"vtt", "text/vtt"},
    {"wav", "audio/vnd.wave"},
    {"webm", "video/webm"},
    {"xml", "application/xml"},
};

const char *file_content_type(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *dot = strrchr(slash ? slash : path, '.');
    for (size_t i = 0; dot && i < sizeof types / sizeof types[0]; i++)
        if (strcasecmp(dot + 1, types[i].extension) == 0)
            return types[i].type;
    return "application/octet-stream";
}
