/* children.c - the table of this module's sandboxed children. */
#include "media/frames.h"
#include "media/media.h"

const struct child_main media_children[] = {
    {.name = "text", .run = child_text_run},
    {.name = "html", .run = child_html_run},
    {.name = "pdf", .run = child_pdf_run},
    {.name = "docx", .run = child_docx_run},
    {.name = "subtitles", .run = child_subtitles_run},
    {.name = "audio", .run = child_audio_run},
    {.name = NULL},
};
