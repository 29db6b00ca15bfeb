/* Streams: pushed into a probe, and read by a conversion. */
#include "harness.h"
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

static int same_text(const char *a, const char *b) {
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static void same_info(const diskimg_info *a, const diskimg_info *b) {
    MUST(a->format == b->format && a->wrapper == b->wrapper && a->flags == b->flags);
    MUST(a->version == b->version && a->virtual_size == b->virtual_size && a->cluster_size == b->cluster_size);
    MUST(a->file_size == b->file_size && a->allocated_size == b->allocated_size);
    MUST(same_text(a->subformat, b->subformat) && same_text(a->compression, b->compression));
    MUST(same_text(a->encryption, b->encryption) && same_text(a->content, b->content));
}

typedef struct probing {
    diskimg_probe *probe;
    diskimg_info info;
    diskimg_status status;
} probing;

static probing end_of(diskimg_probe *probe) {
    probing made = {probe, DISKIMG_INFO_INIT, DISKIMG_OK};
    TRY(made.status, diskimg_probe_finish(probe, &made.info, &error));
    return made;
}

/* Checks a running probe: its state only advances, and its result is final in the last state. */
static void push_pieces(diskimg_probe *probe, const steps *how, const unsigned char *data, size_t length) {
    diskimg_info done = DISKIMG_INFO_INIT, info = DISKIMG_INFO_INIT;
    size_t at, step = step_of(how), pushed = 0;
    uint32_t state = DISKIMG_PROBE_MORE, before = DISKIMG_PROBE_MORE;
    diskimg_status status, earlier = DISKIMG_OK;

    for (at = 0; at < length; at += step, before = state) {
        size_t piece = step < length - at ? step : length - at;
        room copy = new_room(piece);
        memcpy(copy.bytes, data + at, piece);
        TRY(status, diskimg_probe_push(probe, copy.bytes, piece, &state, &error));
        free_room(copy);
        MUST(status == DISKIMG_OK && state >= before && state <= DISKIMG_PROBE_DONE);
        /* Not for each of many chunks. */
        if (state == before && ++pushed % 16 != 0) {
            continue;
        }
        TRY(status, diskimg_probe_info(probe, &info, &error));
        MUST(status == DISKIMG_OK || state != DISKIMG_PROBE_FORMAT);
        if (state == DISKIMG_PROBE_DONE && before == DISKIMG_PROBE_DONE) {
            MUST(status == earlier);
            if (status == DISKIMG_OK) {
                same_info(&info, &done);
            }
        }
        earlier = status;
        done = info;
    }
}

void probe_stream(const steps *how, const unsigned char *data, size_t length) {
    diskimg_open_options options = opening(how);
    room given, odd;
    diskimg_probe *whole, *pieces;
    diskimg_status status;
    probing one, other, again;
    size_t said = odd_size(how, sizeof(diskimg_info));
    int valid;

    given = odd_copy(how, &options, sizeof options, &valid);
    OPEN(status, whole, diskimg_probe_new((const diskimg_open_options *)given.bytes, &whole, &error));
    free_room(given);
    MUST(valid || status == DISKIMG_ERR_INVALID_ARGUMENT);
    if (status != DISKIMG_OK) {
        return;
    }
    MUST(diskimg_probe_new(&options, &pieces, NULL) == DISKIMG_OK);
    TRY(status, diskimg_probe_push(whole, data, length, NULL, &error));
    MUST(status == DISKIMG_OK);
    push_pieces(pieces, how, data, length);
    one = end_of(whole);
    other = end_of(pieces);
    MUST(one.status == other.status);
    odd = new_record(sizeof(diskimg_info), said);
    TRY(status, diskimg_probe_info(whole, (diskimg_info *)odd.bytes, &error));
    check_record(&odd, sizeof(diskimg_info), said, status);
    free_room(odd);
    again = end_of(whole);
    MUST(again.status == one.status);
    same_info(&one.info, &other.info);
    same_info(&one.info, &again.info);
    TRY(status, diskimg_probe_push(whole, "more", 4, NULL, &error));
    MUST(status == DISKIMG_OK);
    diskimg_probe_free(whole);
    diskimg_probe_free(pieces);
}

/* A stream that is read in chunks, and fails or misbehaves at one of its calls. */
typedef struct source {
    const unsigned char *data;
    size_t length, step;
    int calls, fault_at, failed, ended;
    unsigned char fault;
} source;

static int next(void *user, void *buf, size_t len, size_t *nread) {
    source *from = user;
    MUST(len > 0 && !from->ended);
    if (++from->calls == from->fault_at) {
        from->failed = 1;
        switch (from->fault % 3) {
        case 0:
            return ECONNRESET;
        case 1:
            return -from->fault;
        default:
            *nread = len + from->fault;
            return 0;
        }
    }
    *nread = from->length < len ? from->length : len;
    *nread = *nread < from->step ? *nread : from->step;
    memcpy(buf, from->data, *nread);
    from->data += *nread;
    from->length -= *nread;
    return 0;
}

static int append(void *user, const void *buf, size_t len) {
    file *to = user;
    MUST(len > 0);
    if (++to->calls == to->fault_at || len > to->longest - to->length) {
        return to->failed = ENOSPC;
    }
    memcpy(to->bytes + to->length, buf, len);
    to->length += len;
    return 0;
}

/* Checks that the converted stream equals the converted file of the same bytes. */
static void same_as_file(const steps *how, const unsigned char *data, size_t length, const file *to) {
    diskimg_open_options options = opening(how);
    room whole = new_room((size_t)to->length);
    diskimg_image *image;
    diskimg_status status;

    options.flags &= ~(uint32_t)DISKIMG_OPEN_INFO_ONLY;
    OPEN(status, image, diskimg_open_memory(data, length, &options, &image, &error));
    if (status == DISKIMG_OK) {
        MUST(diskimg_size(image) == to->length);
        TRY(status, diskimg_pread(image, whole.bytes, whole.length, 0, NULL, &error));
        MUST(status == DISKIMG_OK && memcmp(whole.bytes, to->bytes, whole.length) == 0);
    }
    diskimg_close(image);
    free_room(whole);
}

/* Returns the final content of a file, as if it had been written to memory. */
static void fetch(int fd, file *to) {
    ssize_t read = pread(fd, to->bytes, (size_t)to->longest, 0);
    MUST(read >= 0);
    to->length = (uint64_t)read;
}

typedef struct job {
    source from;
    file to;
    diskimg_open_options opened;
    diskimg_convert_options options;
    uint64_t length; /* the stated length of the stream; 0 if it is unknown */
} job;

static diskimg_status convert(job *of, const diskimg_target *target) {
    diskimg_stream stream = DISKIMG_STREAM_INIT;
    diskimg_status status;

    stream.read = next;
    stream.read_user = &of->from;
    stream.length = of->length;
    TRY(status, diskimg_convert_stream(&stream, &of->opened, target, &of->options, NULL, &error));
    return status;
}

static diskimg_status into_descriptor(job *of) {
    diskimg_target target = DISKIMG_TARGET_INIT;
    diskimg_status status;
    int fd = memfd_create("target", MFD_CLOEXEC);

    MUST(fd >= 0);
    target.fd = fd;
    status = convert(of, &target);
    fetch(fd, &of->to);
    close(fd);
    return status;
}

static diskimg_status into_new_path(job *of) {
    folder in = new_folder();
    diskimg_target target = DISKIMG_TARGET_INIT;
    diskimg_status status;
    int fd;

    target.path = in.disk;
    status = convert(of, &target);
    if (status == DISKIMG_OK) {
        fd = open(in.disk, O_RDONLY | O_CLOEXEC);
        MUST(fd >= 0);
        fetch(fd, &of->to);
        close(fd);
    }
    end_folder(&in, status);
    return status;
}

static diskimg_status into_pipe(job *of) {
    diskimg_target target = DISKIMG_TARGET_INIT;
    target.write = append;
    target.write_user = &of->to;
    return convert(of, &target);
}

static diskimg_status into_callbacks(job *of, const diskimg_io *io) {
    diskimg_target target = DISKIMG_TARGET_INIT;
    diskimg_status status;
    target.io = io;
    status = convert(of, &target);
    MUST(of->to.closed == 1);
    return status;
}

void convert_stream(const steps *how, const unsigned char *data, size_t length) {
    job of = {{data, length, step_of(how), 0, how->fault_at, 0, 0, how->fault},
              target_file(4 * (size_t)LARGEST, how->target_fault, how->target_fault_at),
              opening(how),
              converting(how),
              how->room % 4 == 3 ? length + how->room / 64u : 0};
    diskimg_io io = io_of(&of.to, how);
    stopper state = stopping(how);
    diskimg_status status;
    int raw = of.options.format <= DISKIMG_FORMAT_RAW, complete = 1;

    of.options.progress = stop;
    of.options.progress_user = &state;
    switch (how->length % 4) {
    case 1:
        status = into_descriptor(&of);
        break;
    case 2:
        status = into_new_path(&of);
        break;
    case 3:
        status = into_pipe(&of);
        break;
    default:
        status = into_callbacks(&of, &io);
        complete = io.set_size != NULL;
    }
    of.from.ended = 1;
    MUST(of.to.failed == 0 || status != DISKIMG_OK);
    MUST(!of.from.failed || status != DISKIMG_OK || !raw);
    MUST(of.length == 0 || of.length == length || status != DISKIMG_OK);
    check_stopped(&state, status);
    if (status == DISKIMG_OK && raw && complete) {
        same_as_file(how, data, length, &of.to);
    }
    free(of.to.bytes);
}
