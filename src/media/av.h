/*
 * av.h - FFmpeg's libraries, loaded at run time: only the decoding child needs them, and loading
 * takes longer than most jobs do.
 *
 * The struct has one member for each function used, of the type that the headers declare. The
 * sonames are those of the headers this was built with.
 */
#ifndef AEGIS_MEDIA_AV_H
#define AEGIS_MEDIA_AV_H

#include <libavcodec/avcodec.h>
#include <libavformat/avformat.h>
#include <libavutil/channel_layout.h>
#include <libavutil/dict.h>
#include <libavutil/error.h>
#include <libavutil/log.h>
#include <libavutil/mathematics.h>
#include <libavutil/mem.h>
#include <libswresample/swresample.h>

#define AV_FORMAT_FUNCTIONS(X)                                                                     \
    X(avformat_alloc_context)                                                                      \
    X(avformat_open_input)                                                                         \
    X(avformat_close_input)                                                                        \
    X(avformat_find_stream_info)                                                                   \
    X(av_find_best_stream)                                                                         \
    X(av_read_frame)                                                                               \
    X(avio_alloc_context)                                                                          \
    X(avio_context_free)

#define AV_CODEC_FUNCTIONS(X)                                                                      \
    X(avcodec_alloc_context3)                                                                      \
    X(avcodec_free_context)                                                                        \
    X(avcodec_parameters_to_context)                                                               \
    X(avcodec_open2)                                                                               \
    X(avcodec_find_decoder)                                                                        \
    X(avcodec_get_name)                                                                            \
    X(avcodec_send_packet)                                                                         \
    X(avcodec_receive_frame)                                                                       \
    X(av_packet_alloc)                                                                             \
    X(av_packet_free)                                                                              \
    X(av_packet_unref)

#define AV_UTIL_FUNCTIONS(X)                                                                       \
    X(av_malloc)                                                                                   \
    X(av_freep)                                                                                    \
    X(av_strdup)                                                                                   \
    X(av_strerror)                                                                                 \
    X(av_log_set_level)                                                                            \
    X(av_dict_get)                                                                                 \
    X(av_frame_alloc)                                                                              \
    X(av_frame_free)                                                                               \
    X(av_frame_unref)                                                                              \
    X(av_rescale_q)                                                                                \
    X(av_channel_layout_default)                                                                   \
    X(av_channel_layout_compare)                                                                   \
    X(av_channel_layout_copy)                                                                      \
    X(av_channel_layout_uninit)

#define AV_RESAMPLE_FUNCTIONS(X)                                                                   \
    X(swr_alloc_set_opts2)                                                                         \
    X(swr_init)                                                                                    \
    X(swr_free)                                                                                    \
    X(swr_convert)                                                                                 \
    X(swr_get_delay)                                                                               \
    X(swr_get_out_samples)

#define AV_MEMBER(name) __typeof__(name) *name;
struct av {
    AV_FORMAT_FUNCTIONS(AV_MEMBER)
    AV_CODEC_FUNCTIONS(AV_MEMBER)
    AV_UTIL_FUNCTIONS(AV_MEMBER)
    AV_RESAMPLE_FUNCTIONS(AV_MEMBER)
};
#undef AV_MEMBER

/* 0, or ERR_PERMANENT "no_decoder" that names the library and what to install. The libraries stay
 * loaded. */
int av_load(struct av *av);

#endif
