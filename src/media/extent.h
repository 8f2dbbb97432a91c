/*
 * extent.h - how long a recording's file has to be, by what its own container states: that the end
 * is missing is known before anything is decoded.
 *
 * What is compared, and where nothing is stated and the file passes for whole:
 *   WAV, AIFF, RF64  the chunk of samples against the file; streamed ones state 0 or about 2^31 or
 *                    2^32 bytes, which says nothing
 *   MP4, M4A, MOV    the boxes mdat, moov and moof against the file; a file without an index (moov,
 *                    moof) is cut; a box of size 0 reaches to the end, wherever that is
 *   Matroska, WebM   the segment against the file; live ones are of unknown size
 *   FLAC             the last frame's number against the number of samples in STREAMINFO, if stated
 *   Ogg              the last page against the file. Many writers do not mark the last page (EOS),
 *                    so a file that ends between two pages is whole
 *   MP3              the byte count of its Xing, Info or VBRI header against the file. Without one
 *                    nothing is stated; a partial last frame is common in whole files
 *   ADTS (AAC)       nothing is stated
 */
#ifndef AEGIS_MEDIA_EXTENT_H
#define AEGIS_MEDIA_EXTENT_H

#include <stdbool.h>
#include <stdint.h>

enum extent_verdict {
    EXTENT_UNSTATED, /* the container does not say where it ends, or not in a way that is known */
    EXTENT_WHOLE,
    EXTENT_CUT,
};

struct extent {
    enum extent_verdict verdict;
    int64_t size;       /* bytes of the file */
    int64_t stated;     /* bytes that it should have; -1: that cannot be told */
    int64_t stated_ms;  /* how long the recording should be; -1: that is not in these bytes */
    int64_t present_ms; /* how much of it is there; -1: likewise */
};

/* Reads little of `fd`, with pread, and trusts no length it reads. A descriptor that cannot seek is
 * EXTENT_UNSTATED. Formats: RFC 9639 (FLAC), RFC 3533 (Ogg), RFC 8794 (EBML), RFC 9559 (Matroska),
 * ISO/IEC 14496-12 (MP4), EBU Tech 3306 (RF64), Xing's and LAME's header of MP3. */
struct extent extent_of(int fd);

/* ---- for extent_of: each fills what it can tell; the file is at least 8 bytes long ---- */

void extent_of_riff(int fd, struct extent *x);  /* RIFF, RF64, BW64 */
void extent_of_aiff(int fd, struct extent *x);  /* FORM */
void extent_of_boxes(int fd, struct extent *x); /* ISO base media */
void extent_of_ebml(int fd, struct extent *x);  /* Matroska */
void extent_of_ogg(int fd, struct extent *x);
void extent_of_flac(int fd, int64_t at, struct extent *x); /* "fLaC" stands at `at` */
void extent_of_mpeg(int fd, int64_t at, struct extent *x); /* frames begin at or behind `at` */

/* Reads exactly `length` bytes at `offset`; false if they are not there. */
bool extent_read(int fd, int64_t offset, void *bytes, int64_t length);

/* The verdict for a file that should have `stated` bytes; a few too few are the writer's mistake.
 */
void extent_judge(struct extent *x, int64_t stated, int64_t slack);

enum { EXTENT_SLACK = 256 };

#endif
